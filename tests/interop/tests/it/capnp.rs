//! capnp-rpc between two pollers. Its interface is written here by hand, as `words.capnp` says it, with a
//! text in place of each struct: the compiler of Cap'n Proto would be one more program to build with.

use std::ops::Deref;
use std::rc::Rc;

use capnp::capability::{DispatchCallResult, FromClientHook, FromServer, Params, Promise, Results};
use capnp::private::capability::ClientHook;
use capnp::{any_pointer, text};
use capnp_rpc::{RpcSystem, rpc_twoparty_capnp::Side, twoparty::VatNetwork};
use corepoll::net::TcpStream;
use futures::AsyncReadExt;
use interop::{Server, wait_for};

/// The number of the interface.
const WORDS: u64 = 0xc0_7e_90_11;

/// The client's end.
#[derive(Clone)]
struct Words(capnp::capability::Client);

impl FromClientHook for Words {
    fn new(hook: Box<dyn ClientHook>) -> Words {
        Words(capnp::capability::Client::new(hook))
    }

    fn into_client_hook(self) -> Box<dyn ClientHook> {
        self.0.hook
    }

    fn as_client_hook(&self) -> &dyn ClientHook {
        &*self.0.hook
    }
}

impl Words {
    /// Asks for a word in capitals.
    async fn capitals(&self, word: &str) -> capnp::Result<String> {
        let mut request = self.0.new_call::<any_pointer::Owned, any_pointer::Owned>(WORDS, 0, None);
        request.get().set_as::<text::Owned>(word)?;
        let response = request.send().promise.await?;
        Ok(response.get()?.get_as::<text::Reader<'_>>()?.to_string()?)
    }
}

/// The server's end.
struct Capitals;

#[derive(Clone)]
struct Dispatch(Rc<Capitals>);

impl Deref for Dispatch {
    type Target = Capitals;

    fn deref(&self) -> &Capitals {
        &self.0
    }
}

impl FromServer<Capitals> for Words {
    type Dispatch = Dispatch;

    fn from_server(server: Rc<Capitals>) -> Dispatch {
        Dispatch(server)
    }
}

impl capnp::capability::Server for Dispatch {
    fn dispatch_call(
        self,
        interface: u64,
        method: u16,
        params: Params<any_pointer::Owned>,
        mut results: Results<any_pointer::Owned>,
    ) -> DispatchCallResult {
        let answer = async move {
            if (interface, method) != (WORDS, 0) {
                return Err(capnp::Error::unimplemented("no such method".to_owned()));
            }
            let word = params.get()?.get_as::<text::Reader<'_>>()?.to_string()?;
            if word.is_empty() {
                return Err(capnp::Error::failed("no word".to_owned()));
            }
            // A wait between the request and the answer.
            corepoll::yield_now().await;
            results.get().set_as::<text::Owned>(word.to_uppercase().as_str())
        };
        DispatchCallResult::new(Promise::from_future(answer), false)
    }

    fn as_ptr(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }
}

/// Returns one end of a connection.
fn system(stream: TcpStream, side: Side, bootstrap: Option<Words>) -> RpcSystem<Side> {
    let (read, write) = stream.split();
    let network = VatNetwork::new(read, write, side, Default::default());
    RpcSystem::new(Box::new(network), bootstrap.map(|words| words.0))
}

#[test]
fn calls_go_from_one_poller_to_another() {
    let (_server, addr) = Server::of_tasks(|stream, _| {
        let words: Words = capnp_rpc::new_client(Capitals);
        system(stream, Side::Server, Some(words))
    });
    let answers = wait_for(async {
        let stream = TcpStream::connect(addr).await.expect("it listens");
        let mut system = system(stream, Side::Client, None);
        let words: Words = system.bootstrap(Side::Server);
        let driver = corepoll::spawn_local(system);
        // Many at once, of every length, and one that fails.
        let asked = (0..500).map(|number| {
            let words = words.clone();
            async move { words.capitals(&"word".repeat(number)).await }
        });
        let answers = futures::future::join_all(asked).await;
        driver.abort();
        answers
    });
    for (number, answer) in answers.into_iter().enumerate() {
        match answer {
            Err(error) => assert!(number == 0 && error.to_string().contains("no word"), "{error}"),
            Ok(word) => assert_eq!(word, "WORD".repeat(number)),
        }
    }
}
