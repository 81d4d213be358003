//! One value of each type, for `with_local`.
//!
//! A thread-local would outlive the poller, and would be shared by two pollers of one thread.

use std::any::{Any, TypeId, type_name};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Values by type. Each is made when it is first asked for.
#[derive(Default)]
pub(crate) struct TypeMap {
    /// The values, each in a `RefCell` of its type.
    values: RefCell<HashMap<TypeId, Rc<dyn Any>>>,
}

impl TypeMap {
    /// Lends the value of type `T` to `f`. If there is none, `init` makes it.
    ///
    /// # Panics
    ///
    /// Panics if `f` runs inside of another loan of the same type.
    pub(crate) fn with<T: 'static, R>(
        &self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&mut T) -> R,
    ) -> R {
        let value = self.value(init);
        let cell = value.downcast_ref::<RefCell<T>>().expect("the value has its key's type");
        // Only this value is borrowed, not the map: `f` may ask for values of other types.
        let Ok(mut value) = cell.try_borrow_mut() else {
            panic!("with_local::<{}> was called inside itself", type_name::<T>());
        };
        f(&mut value)
    }

    /// Returns the value of type `T`, which `init` makes if there is none.
    fn value<T: 'static>(&self, init: impl FnOnce() -> T) -> Rc<dyn Any> {
        let known = self.values.borrow().get(&TypeId::of::<T>()).cloned();
        known.unwrap_or_else(|| {
            // `init` is foreign code. It may ask for other types, and for this one too;
            // then this value is the second one, and is dropped while nothing is borrowed.
            let new: Rc<dyn Any> = Rc::new(RefCell::new(init()));
            let first =
                self.values.borrow_mut().entry(TypeId::of::<T>()).or_insert(new.clone()).clone();
            drop(new);
            first
        })
    }

    /// Takes one value out. Returns `None` if there are no more.
    pub(crate) fn pop(&self) -> Option<Rc<dyn Any>> {
        let mut values = self.values.borrow_mut();
        // One at a time, since the drop of a value may make another one.
        let key = *values.keys().next()?;
        values.remove(&key)
    }
}
