"""Opens the chat at URL in two pages of a browser, lets them talk, and prints `ok` if both show what they
must. Pictures of the pages, dark and light, go to FOLDER.

    chat_pages.py PATH-OF-CHROMIUM-HEADLESS-SHELL URL FOLDER

The browser is spoken to by the DevTools protocol, over a pipe: it ends when the pipe does, so also when
this script is killed.
"""

import base64
import json
import os
import subprocess
import sys

PATIENCE_MS = 60_000


class Browser:
    """A browser, and the two pipes to it: its descriptors 3 and 4."""

    def __init__(self, program, folder):
        # What the pipes must not be: 3 and 4 are taken meanwhile.
        held = [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
        its_input, self.commands = os.pipe()
        self.answers, its_output = os.pipe()
        os.dup2(its_input, 3)
        os.dup2(its_output, 4)
        arguments = ["--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage"]
        arguments += ["--no-proxy-server", "--remote-debugging-pipe", "--user-data-dir=" + folder]
        self.process = subprocess.Popen([program, *arguments], pass_fds=(3, 4))
        for descriptor in {3, 4, its_input, its_output, *held}:
            os.close(descriptor)
        self.count, self.received = 0, b""

    def ask(self, method, session=None, **parameters):
        """Calls a method of the protocol, and returns its result."""
        self.count += 1
        command = {"id": self.count, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        rest = json.dumps(command).encode() + b"\0"
        while rest:
            rest = rest[os.write(self.commands, rest) :]
        while True:
            answer = self.next_message()
            if answer.get("id") == self.count:
                assert "result" in answer, (method, answer)
                return answer["result"]

    def next_message(self):
        """Returns the next answer or event."""
        while b"\0" not in self.received:
            more = os.read(self.answers, 1 << 16)
            assert more, "the browser has ended"
            self.received += more
        message, self.received = self.received.split(b"\0", 1)
        return json.loads(message)

    def end(self):
        self.ask("Browser.close")
        assert self.process.wait(60) == 0, "the browser has ended well"


class Page:
    """A page with storage of its own, as of another visitor."""

    def __init__(self, browser, url):
        self.browser = browser
        context = browser.ask("Target.createBrowserContext")["browserContextId"]
        target = browser.ask(
            "Target.createTarget", url="about:blank", browserContextId=context, width=900, height=600
        )
        attached = browser.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = attached["sessionId"]
        # Says on the page what has gone wrong on it.
        watch = "window.problems = []; addEventListener('error', it => problems.push(it.message));"
        watch += "addEventListener('securitypolicyviolation', it => problems.push(it.blockedURI));"
        self.ask("Page.enable")
        self.ask("Page.addScriptToEvaluateOnNewDocument", source=watch)
        self.ask("Page.navigate", url=url)
        self.wait_until("document.readyState === 'complete' && document.title === 'corepoll chat'")

    def ask(self, method, **parameters):
        return self.browser.ask(method, self.session, **parameters)

    def run(self, script):
        """Runs a script in the page, and returns the value of its promise."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_until(self, condition):
        """Waits until the condition holds, which is looked at whenever a frame would be drawn."""
        script = """new Promise((done, fail) => {
            const begun = performance.now();
            const look = () => {
                if (%s) return done(true);
                if (performance.now() - begun > %d) return fail(new Error(document.body.innerText));
                setTimeout(look, 10);
            };
            look();
        })"""
        assert self.run(script % (condition, PATIENCE_MS)), condition

    def write(self, field, words):
        """Writes into a field as by keys, and presses Enter."""
        self.run("document.getElementById(%s).focus()" % json.dumps(field))
        self.ask("Input.insertText", text=words)
        for kind in ("keyDown", "keyUp"):
            key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            self.ask("Input.dispatchKeyEvent", type=kind, **key)

    def join(self, name):
        self.write("name", name)
        self.wait_until("document.getElementById('status').textContent === 'Connected'")

    def said(self):
        """Returns the lines of the log: who, what, and whether it is one's own."""
        return self.run(
            """[...document.querySelectorAll("#log .said")].map(it => [
                it.querySelector(".name").textContent, it.querySelector(".text").textContent,
                it.classList.contains("own")])"""
        )

    def wait_for_lines(self, count):
        self.wait_until("document.querySelectorAll('#log .said').length === %d" % count)

    def members(self):
        return self.run("[...document.querySelectorAll('#members bdi')].map(it => it.textContent)")

    def picture(self, scheme, path):
        """Has the page drawn in a colour scheme, and returns the colours of page and text."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.ask("Emulation.setEmulatedMedia", features=[feature])
        # Lines that have just come are still fading in.
        self.run("Promise.all(document.getAnimations().map(it => it.finished)).then(() => true)")
        picture = self.ask("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture))
        return self.run(
            """(style => [style.backgroundColor, style.color].map(
                it => it.match(/\\d+/g).reduce((sum, part) => sum + Number(part), 0)))(
                getComputedStyle(document.body))"""
        )


def main(program, url, folder):
    browser = Browser(program, os.path.join(folder, "profile"))
    ada, grace = Page(browser, url), Page(browser, url)
    ada.join("Ada")
    grace.write("name", "ada")
    grace.wait_until("document.getElementById('problem').textContent.includes('has this name')")
    grace.run("document.getElementById('name').value = ''")
    grace.join("Grace")
    ada.wait_until("document.getElementById('count').textContent === '2 here'")
    assert ada.members() == grace.members() == ["Ada", "Grace"]

    # By turns. What one writes is shown as text in both, never as a part of the page.
    markup = "<img src=x onerror=alert(1)> & grüße"
    for turn, (speaker, words) in enumerate([(ada, "hello"), (grace, markup), (ada, "goodbye")]):
        speaker.write("text", words)
        for page in (ada, grace):
            page.wait_for_lines(turn + 1)
    lines = [("Ada", "hello"), ("Grace", markup), ("Ada", "goodbye")]
    for page, own in [(ada, "Ada"), (grace, "Grace")]:
        expected = [["You" if name == own else name, text, name == own] for name, text in lines]
        assert page.said() == expected, page.said()
        assert page.run("document.images.length") == 0

    for page, name in [(ada, "ada"), (grace, "grace")]:
        for scheme in ("light", "dark"):
            path = os.path.join(folder, "%s-%s.png" % (name, scheme))
            background, text = page.picture(scheme, path)
            assert (background > text) == (scheme == "light"), (scheme, background, text)
        assert page.run("problems") == [], page.run("problems")

    # One leaves; the other is told.
    grace.ask("Page.navigate", url="about:blank")
    ada.wait_until("document.getElementById('count').textContent === '1 here'")
    assert ada.members() == ["Ada"]
    browser.end()
    print("ok")


main(*sys.argv[1:])
