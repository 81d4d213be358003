//! The heap against an ordered set.

use super::Heap;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn a_renewed_item_keeps_its_turn_when_the_orders_run_out() {
    for left in 0..8 {
        let mut heap = Heap::after(u32::MAX - left);
        heap.insert(0, 1);
        heap.insert(1, 3);
        assert!(heap.renew_below(0, 3));
        for item in 2..8 {
            heap.insert(item, 3);
        }
        heap.postpone(0, 3);
        let least = std::iter::from_fn(|| {
            let least = heap.peek()?;
            heap.remove(least.item).then_some(least.item)
        });
        assert_eq!(least.collect::<Vec<_>>(), [1, 0, 2, 3, 4, 5, 6, 7], "{left}");
    }
}

/// Takes all items in order, each with leave to draw all others, and after it `change` is made.
fn drain(heap: &mut Heap, mut change: impl FnMut(&mut Heap)) -> Vec<u32> {
    let mut taken = Vec::new();
    while let Some(least) = heap.peek() {
        heap.take_least(u64::MAX);
        assert!(!heap.contains(least.item));
        taken.push(least.item);
        change(heap);
    }
    taken
}

#[test]
fn more_than_can_be_drawn_together_come_in_order() {
    // Keys that are equal, dense, and far apart: what is drawn together is bounded by any of them.
    let spreads: [fn(u64) -> u64; 4] =
        [|_| 7, |n| n % 3, |n| n * 7919 % 4001, |n| (n * 7919 % 4001) << (n % 50)];
    for (number, key) in spreads.iter().enumerate() {
        let mut heap = Heap::default();
        (0..4001).for_each(|item| heap.insert(item, key(u64::from(item))));
        let mut expected: Vec<u32> = (0..4001).collect();
        expected.sort_by_key(|item| key(u64::from(*item)));
        assert_eq!(drain(&mut heap, |_| {}), expected, "{number}");
        assert_eq!(heap.len(), 0);
    }
}

#[test]
fn what_was_drawn_is_still_a_part_of_the_heap() {
    let mut heap = Heap::default();
    (0..100).for_each(|item| heap.insert(item, 10 + u64::from(item)));
    heap.take_least(u64::MAX);
    assert_eq!(heap.upcoming(0), Some(1), "they were drawn together");
    // Removed, postponed beyond the others and in front of them, and preceded by a new one.
    assert!(heap.remove(50) && !heap.remove(50));
    heap.postpone(1, 1000);
    heap.postpone(2, 40);
    heap.insert(200, 5);
    assert_eq!(heap.len(), 99);
    let mut expected = vec![200];
    expected.extend((3..50).chain(51..100));
    // 30 has the key 40, and was inserted after 2.
    expected.insert(28, 2);
    expected.push(1);
    assert_eq!(drain(&mut heap, |_| {}), expected);
}

proptest! {
    /// Held against an ordered set of (key, order, item); the heap's orders may run out.
    #[test]
    fn agrees_with_an_ordered_set(
        insertions in prop_oneof![Just(0), u32::MAX - 100..=u32::MAX],
        steps in prop::collection::vec((0u8..7, 0u32..20, 0u64..5), 1..400),
    ) {
        let mut heap = Heap::after(insertions);
        let mut model: BTreeSet<(u64, u64, u32)> = BTreeSet::new();
        // When each item was inserted or renewed: its node may be older.
        let mut orders = [0; 20];
        let mut mark = 0;
        for (order, (kind, item, key)) in (1..).zip(steps) {
            let known = model.iter().find(|entry| entry.2 == item).copied();
            prop_assert_eq!(heap.contains(item), known.is_some());
            if kind < 2 {
                known.map(|entry| model.remove(&entry));
                heap.remove(item);
                heap.insert(item, key);
                model.insert((key, order, item));
                orders[item as usize] = order;
            } else if let (3, Some(entry)) = (kind, known) {
                model.remove(&entry);
                heap.postpone(item, entry.0 + key);
                model.insert((entry.0 + key, orders[item as usize], item));
            } else if kind == 4 {
                let is_below = known.is_some_and(|entry| entry.0 < key);
                prop_assert_eq!(heap.renew_below(item, key), is_below);
                if is_below {
                    orders[item as usize] = order;
                }
            } else if kind == 6 {
                // Others up to any key may be drawn with the least one.
                heap.take_least(key);
                model.pop_first();
            } else if kind == 5 {
                heap.set_mark();
                mark = order;
            } else {
                prop_assert_eq!(heap.remove(item), known.is_some());
                known.map(|entry| model.remove(&entry));
            }
            prop_assert_eq!(heap.len(), model.len());
            let least = heap.peek().map(|least| (least.key, least.is_after_mark, least.item));
            let first = model.first().map(|first| (first.0, first.1 > mark, first.2));
            prop_assert_eq!(least, first);
        }
    }
}
