//! Timers against a model, and what they leave behind.

use super::{MAX_VACANT, Pass, Timers, Token};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn timers<T>() -> Timers<T> {
    Timers::new()
}

fn due<T: Copy>(timers: &mut Timers<T>, now: u64) -> Vec<T> {
    let pass = timers.begin(now);
    let mut fired = Vec::new();
    while let Some(token) = timers.take_due(pass) {
        fired.extend(timers.remove(token));
    }
    fired
}

#[test]
fn equal_deadlines_fire_in_the_order_they_were_set() {
    let mut timers = timers();
    for n in 0..100 {
        timers.insert(7, n);
    }
    assert_eq!(due(&mut timers, 6), Vec::<i32>::new());
    assert_eq!(due(&mut timers, 7), (0..100).collect::<Vec<_>>());
}

#[test]
fn what_is_armed_in_a_pass_is_not_due_in_it() {
    let mut timers = timers();
    timers.insert(1, 'a');
    let pass = timers.begin(5);
    let first = timers.take_due(pass).unwrap();
    timers.insert(2, 'b');
    assert!(timers.reset(first, 3), "a spent timer can be armed again");
    assert_eq!(timers.take_due(pass), None);
    assert_eq!(due(&mut timers, 5), vec!['b', 'a']);
}

#[test]
fn a_million_set_and_cancelled_leave_nothing() {
    let mut timers = timers();
    let tokens: Vec<Token> = (0..1_000_000u64).map(|n| timers.insert(n * 7919 % 1000, n)).collect();
    for token in &tokens {
        assert!(timers.remove(*token).is_some());
    }
    assert_eq!((timers.armed(), timers.len(), timers.next_deadline()), (0, 0, None));
    assert!(tokens.iter().all(|token| timers.remove(*token).is_none()));
}

#[test]
fn an_old_timer_fires_however_many_others_there_were() {
    for others in [1, 1 << 31, (1 << 31) + 1, u32::MAX - 1, u32::MAX] {
        let mut timers = timers();
        let old = timers.insert(10, 'a');
        timers.insert(10, 'b');
        // As if they had been armed and cancelled meanwhile.
        timers.heap.pretend(others);
        for order in 0..3 {
            assert!(timers.insert(11, 'x').index() > old.index(), "{order}");
        }
        assert_eq!(due(&mut timers, 11), ['a', 'b', 'x', 'x', 'x']);
        assert_eq!(timers.next_deadline(), None);
    }
}

#[test]
fn the_orders_of_a_heap_may_run_out_in_the_middle_of_a_pass() {
    for left in 0..8 {
        let mut timers = Timers::after(u32::MAX - left, 0);
        let armed: Vec<Token> = (0..4).map(|n| timers.insert(5, n)).collect();
        assert!(timers.reset(armed[1], 6));
        let pass = timers.begin(9);
        let mut fired = Vec::new();
        while let Some(token) = timers.take_due(pass) {
            // Each arms another one, which is due as well, but not in this pass.
            let value = timers.remove(token).unwrap();
            timers.insert(6, value + 10);
            fired.push(value);
        }
        assert_eq!(fired, [0, 2, 3, 1]);
        assert_eq!(due(&mut timers, 9), [10, 12, 13, 11]);
    }
}

#[test]
fn removed_timers_leave_few_nodes_which_the_next_ones_take_over() {
    let mut timers = timers();
    let tokens: Vec<Token> = (0..3000).map(|n| timers.insert(n, n)).collect();
    for token in &tokens {
        assert!(timers.remove(*token).is_some());
        assert!(timers.heap.len() <= timers.armed() + MAX_VACANT);
    }
    assert_eq!((timers.vacant, timers.heap.len()), (MAX_VACANT, MAX_VACANT));
    assert_eq!(timers.next_deadline(), None, "they are no timers");
    let mut last = timers.insert(5000, 0);
    for n in 1..100 {
        assert!(timers.remove(last).is_some());
        last = timers.insert(5000 + n, n);
        assert_eq!(timers.heap.len(), MAX_VACANT + usize::from(timers.vacant == MAX_VACANT));
    }
    assert_eq!(due(&mut timers, 10_000), [99]);
    assert_eq!(timers.vacant, timers.heap.len());
}

#[test]
fn a_look_leaves_alone_what_lies_beyond_its_limit() {
    let mut timers = timers();
    let first = timers.insert(100, 'a');
    assert!(timers.reset(first, 300));
    assert_eq!(timers.next_look(50), Some(100), "not yet corrected");
    assert_eq!(timers.next_look(100), Some(300));
    timers.remove(first);
    assert_eq!(timers.next_look(1000), None);
    timers.insert(500, 'b');
    assert_eq!(timers.next_look(200), Some(300), "it has taken the node over");
    assert_eq!(due(&mut timers, 499), []);
    assert_eq!(timers.next_deadline(), Some(500));
    assert_eq!(due(&mut timers, 500), ['b']);
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u64),
    Remove(usize),
    Reset(usize, u64),
    Look(u64),
    /// A pass at a time, in which each timer that fires is followed by another step.
    Pass(u64, Vec<Step>),
}

fn change() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u64..12).prop_map(Step::Insert),
        any::<usize>().prop_map(Step::Remove),
        (any::<usize>(), 0u64..12).prop_map(|(pick, at)| Step::Reset(pick, at)),
        (0u64..14).prop_map(Step::Look),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let pass = (0u64..14, prop::collection::vec(change(), 0..6));
    prop_oneof![4 => change(), 1 => pass.prop_map(|(now, inside)| Step::Pass(now, inside))]
}

/// Timers as an ordered set of (deadline, order of arming, number).
#[derive(Default)]
struct Model {
    armed: BTreeSet<(u64, u64, usize)>,
    /// The tokens by number.
    all: Vec<Token>,
    next_order: u64,
}

impl Model {
    fn arm(&mut self, at: u64, id: usize) {
        self.next_order += 1;
        self.armed.insert((at, self.next_order, id));
    }

    fn take(&mut self, id: usize) -> Option<(u64, u64, usize)> {
        let found = self.armed.iter().find(|entry| entry.2 == id).copied();
        found.filter(|entry| self.armed.remove(entry))
    }

    fn change(&mut self, timers: &mut Timers<usize>, step: &Step) {
        let picked = |pick: &usize| pick % self.all.len().max(1);
        match step {
            Step::Insert(at) => {
                let id = self.all.len();
                self.all.push(timers.insert(*at, id));
                self.arm(*at, id);
            }
            Step::Remove(pick) if !self.all.is_empty() => {
                let id = picked(pick);
                assert_eq!(timers.remove(self.all[id]), self.take(id).map(|_| id));
            }
            Step::Reset(pick, at) if !self.all.is_empty() => {
                let id = picked(pick);
                let known = self.take(id);
                assert_eq!(timers.reset(self.all[id], *at), known.is_some());
                match known {
                    // Postponed, it keeps its turn among equals.
                    Some((before, order, _)) if *at >= before => {
                        self.armed.insert((*at, order, id));
                    }
                    Some(_) => self.arm(*at, id),
                    None => {}
                }
            }
            Step::Look(limit) => {
                let (look, next) = (timers.next_look(*limit), self.armed.first());
                assert_eq!(look.is_some(), next.is_some());
                if let (Some(look), Some((next, ..))) = (look, next) {
                    assert!(look <= *next && (look > *limit || look == *next));
                    assert_eq!(look <= *limit, next <= limit);
                }
            }
            _ => {}
        }
    }

    /// Fires what is due, and makes one of the changes after each timer.
    fn pass(&mut self, timers: &mut Timers<usize>, now: u64, inside: &[Step]) {
        let (pass, mark): (Pass, u64) = (timers.begin(now), self.next_order);
        let mut inside = inside.iter();
        while let Some(token) = timers.take_due(pass) {
            let id = timers.remove(token).expect("it carries its number");
            // The first by deadline and order; it comes only if it was armed before the pass.
            let first = self.armed.pop_first().expect("what fires is armed");
            assert_eq!(id, first.2);
            assert!(first.0 <= now && first.1 <= mark);
            if let Some(step) = inside.next() {
                self.change(timers, step);
            }
        }
        // One armed in the pass ends it, if it has become the first.
        assert!(self.armed.first().is_none_or(|first| first.0 > now || first.1 > mark));
    }
}

proptest! {
    /// Held against an ordered set: the same timers fire, in the same order.
    #[test]
    fn agrees_with_an_ordered_set(
        armed in prop_oneof![Just(0), u32::MAX - 50..=u32::MAX],
        uses in prop_oneof![Just(0), u32::MAX - 4..=u32::MAX],
        exact in any::<bool>(),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut timers = Timers::after(armed, uses);
        let mut model = Model::default();
        for step in &steps {
            match step {
                Step::Pass(now, inside) => model.pass(&mut timers, *now, inside),
                step => model.change(&mut timers, step),
            }
            prop_assert_eq!(timers.armed(), model.armed.len());
            // Asking moves nodes: half of the runs do without.
            if exact {
                let next = model.armed.first().map(|first| first.0);
                prop_assert_eq!(timers.next_deadline(), next);
            }
        }
    }
}
