//! A 4-ary heap that knows the place of each item, so that any of them can be removed directly.
//!
//! The poller cancels far more timers than it lets fire, since most are limits that are not
//! reached. A heap without places would keep the cancelled ones until they are due, or search for
//! them.

/// The place of an item that is not in the heap.
const ABSENT: u32 = u32::MAX;

/// The number of children of a node. Four nodes of 16 bytes are one cache line, and the heap is
/// half as deep as a binary one.
const ARITY: usize = 4;

/// A 4-ary min-heap of small item numbers, ordered by key and then by the order of insertion.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    /// The nodes, in the order of the heap: the children of node `n` are `4n + 1` to `4n + 4`.
    nodes: Vec<Node>,
    /// The place of each item in `nodes`, or `ABSENT`.
    places: Vec<u32>,
    /// The order of the next insertion, which is greater than that of any node in the heap. When
    /// the numbers are used up, `renumber` gives the nodes smaller ones.
    next_order: u32,
    /// The order of the next insertion at the time when the mark was set.
    mark: u32,
}

/// One node: 16 bytes, so that the comparison of a sift stays in the line it has loaded. From the
/// high bits to the low ones: the key, the order and the item. No two orders are equal, so the item
/// never decides a comparison.
#[derive(Debug, Clone, Copy)]
struct Node(u128);

impl Node {
    /// Packs the three numbers.
    #[inline]
    fn new(key: u64, order: u32, item: u32) -> Node {
        Node((u128::from(key) << 64) | (u128::from(order) << 32) | u128::from(item))
    }

    /// Returns the key.
    #[inline]
    fn key(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// Returns the order of insertion.
    #[inline]
    fn order(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns the item.
    #[inline]
    fn item(self) -> u32 {
        self.0 as u32
    }

    /// Returns `true` if this node comes before `other`: its key is less, or it was inserted
    /// earlier.
    #[inline]
    fn is_before(self, other: Node) -> bool {
        self.0 < other.0
    }
}

/// The least item of a heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Least {
    /// The key of the item.
    pub(crate) key: u64,
    /// Whether the item was inserted after the mark was set.
    pub(crate) is_after_mark: bool,
    /// The item.
    pub(crate) item: u32,
}

impl Heap {
    /// Returns the number of items.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Makes an empty heap as it is after so many insertions.
    #[cfg(test)]
    pub(crate) fn after(insertions: u32) -> Heap {
        Heap { next_order: insertions, ..Heap::default() }
    }

    /// Counts so many insertions, without making them.
    #[cfg(test)]
    pub(crate) fn pretend(&mut self, insertions: u32) {
        self.next_order = self.next_order.saturating_add(insertions);
    }

    /// Sets the mark: [`Heap::peek`] distinguishes what is inserted after it from what is in the
    /// heap already.
    pub(crate) fn set_mark(&mut self) {
        self.mark = self.next_order;
    }

    /// Returns the item with the least key. Of items with equal keys, it is the one inserted first.
    #[inline]
    pub(crate) fn peek(&self) -> Option<Least> {
        let node = self.nodes.first()?;
        let is_after_mark = node.order() >= self.mark;
        Some(Least { key: node.key(), is_after_mark, item: node.item() })
    }

    /// Returns `true` if `item` is in the heap.
    pub(crate) fn contains(&self, item: u32) -> bool {
        self.places.get(item as usize).is_some_and(|place| *place != ABSENT)
    }

    /// Returns the key of `item`.
    #[cfg(test)]
    pub(crate) fn key(&self, item: u32) -> Option<u64> {
        let place = *self.places.get(item as usize)?;
        self.nodes.get(place as usize).map(|node| node.key())
    }

    /// Inserts `item`, which must not be in the heap.
    #[inline]
    pub(crate) fn insert(&mut self, item: u32, key: u64) {
        debug_assert!(!self.contains(item));
        if self.places.len() <= item as usize {
            self.make_place(item);
        }
        if self.next_order == u32::MAX {
            self.renumber();
        }
        let node = Node::new(key, self.next_order, item);
        self.next_order += 1;
        self.nodes.push(node);
        self.sift_up(self.nodes.len() - 1, node);
    }

    /// Makes room in `places` for an item with a greater number than all before.
    #[cold]
    fn make_place(&mut self, item: u32) {
        self.places.resize(item as usize + 1, ABSENT);
    }

    /// Numbers the nodes from 0, in the order that they have. No comparison changes, so every node
    /// stays in its place. This happens once in 2³² insertions, and takes some milliseconds for
    /// 100,000 nodes.
    #[cold]
    fn renumber(&mut self) {
        // Sorted by order: the sorted place of a node becomes its new order.
        let nodes = self.nodes.iter().zip(0u32..);
        let mut by_order: Vec<(u32, u32)> = nodes.map(|(node, at)| (node.order(), at)).collect();
        by_order.sort_unstable();
        // As many nodes as were inserted before the mark stay before it.
        self.mark = by_order.partition_point(|(order, _)| *order < self.mark) as u32;
        for (order, (_, at)) in (0u32..).zip(&by_order) {
            let node = &mut self.nodes[*at as usize];
            *node = Node::new(node.key(), order, node.item());
        }
        // Places are 32 bits wide, so there is room.
        self.next_order = self.nodes.len() as u32;
    }

    /// Gives `item` a greater key. It keeps its order among items with equal keys.
    pub(crate) fn postpone(&mut self, item: u32, key: u64) {
        let Some(place) = self.places.get(item as usize).copied() else { return };
        if let Some(node) = self.nodes.get(place as usize).copied() {
            debug_assert!(key >= node.key());
            self.sift_down(place as usize, Node::new(key, node.order(), item));
        }
    }

    /// Removes `item`. Returns `false` if it was not in the heap.
    #[inline]
    pub(crate) fn remove(&mut self, item: u32) -> bool {
        let Some(place) = self.places.get_mut(item as usize) else { return false };
        let hole = std::mem::replace(place, ABSENT) as usize;
        if hole == ABSENT as usize {
            return false;
        }
        let last = self.nodes.pop().expect("an item with a place is in the heap");
        // The last node fills the hole, unless it was the one that was removed.
        if hole < self.nodes.len() {
            self.settle(hole, last);
        }
        true
    }

    /// Puts `node` into the place where it belongs, starting from a hole in the middle of the heap.
    fn settle(&mut self, hole: usize, node: Node) {
        // The node comes from another branch, so it may be less than the parent of the hole.
        if hole > 0 && node.is_before(self.nodes[(hole - 1) / ARITY]) {
            self.sift_up(hole, node);
        } else {
            self.sift_down(hole, node);
        }
    }

    /// Moves parents down into the hole until `node` fits, and puts it there.
    #[inline]
    fn sift_up(&mut self, mut hole: usize, node: Node) {
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if !node.is_before(self.nodes[parent]) {
                break;
            }
            self.place(hole, self.nodes[parent]);
            hole = parent;
        }
        self.place(hole, node);
    }

    /// Moves the least child up into the hole until `node` fits, and puts it there.
    fn sift_down(&mut self, mut hole: usize, node: Node) {
        loop {
            let first = hole * ARITY + 1;
            // A leaf has `first` at or beyond the end: the search finds nothing, and the test below
            // ends the loop before it looks at a node.
            let end = (first + ARITY).min(self.nodes.len());
            // The children lie side by side: in one cache line or two.
            let mut least = first;
            for child in first + 1..end {
                if self.nodes[child].is_before(self.nodes[least]) {
                    least = child;
                }
            }
            if first >= end || !self.nodes[least].is_before(node) {
                break;
            }
            self.place(hole, self.nodes[least]);
            hole = least;
        }
        self.place(hole, node);
    }

    /// Puts `node` at `place`, and notes where its item is.
    #[inline]
    fn place(&mut self, place: usize, node: Node) {
        self.nodes[place] = node;
        self.places[node.item() as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::Heap;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Held against an ordered set of (key, order, item); the heap's orders may run out.
        #[test]
        fn agrees_with_an_ordered_set(
            insertions in prop_oneof![Just(0), u32::MAX - 100..=u32::MAX],
            steps in prop::collection::vec((0u8..5, 0u32..40, 0u64..20), 1..400),
        ) {
            let mut heap = Heap::after(insertions);
            let mut model: BTreeSet<(u64, u64, u32)> = BTreeSet::new();
            let mut mark = 0;
            for (order, (kind, item, key)) in (1..).zip(steps) {
                let known = model.iter().find(|entry| entry.2 == item).copied();
                prop_assert_eq!(heap.contains(item), known.is_some());
                prop_assert_eq!(heap.key(item), known.map(|entry| entry.0));
                if kind < 2 {
                    known.map(|entry| model.remove(&entry));
                    heap.remove(item);
                    heap.insert(item, key);
                    model.insert((key, order, item));
                } else if let (3, Some(entry)) = (kind, known) {
                    model.remove(&entry);
                    heap.postpone(item, entry.0 + key);
                    model.insert((entry.0 + key, entry.1, item));
                } else if kind == 4 {
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
}
