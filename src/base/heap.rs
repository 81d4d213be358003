//! A 4-ary heap that knows the place of each item, so that any of them can be removed directly.
//!
//! The poller cancels far more timers than it lets fire, since most are limits that are not
//! reached. A heap without places would keep the cancelled ones until they are due, or search for
//! them.
//!
//! What is put off costs less than what is done at once: an item may be given a greater key, and may
//! be renewed, while its node stays where it is. Its user brings the node into its place when it has
//! become the least one, by [`Heap::postpone`].
//!
//! Where several items are taken one after the other, [`Heap::take_least`] draws them together: see
//! [`run`].

mod node;
mod run;

use std::hint::{black_box, select_unpredictable};

use node::{ARITY, Node};
use run::Run;

/// The place of an item that is not in the heap.
const ABSENT: u32 = u32::MAX;

/// The places from here on are those of nodes that were drawn: their indices in the run.
const DRAWN: u32 = ABSENT - run::MOST as u32;

/// A heap of up to so many nodes is taken for one that the processor has in its caches: a mebibyte.
const CACHED: usize = 1 << 16;

/// A 4-ary min-heap of small item numbers, ordered by key and then by the order of insertion.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    /// The nodes, in the order of the heap: the children of node `n` are `4n + 1` to `4n + 4`.
    nodes: Vec<Node>,
    /// Nodes that were drawn together. They are in the heap like the others.
    run: Run,
    /// What is known of each item, by its number.
    items: Vec<Item>,
    /// The order of the next insertion, which is greater than that of any item in the heap. When
    /// the numbers are used up, `renumber` gives the items smaller ones.
    next_order: u32,
    /// The order of the next insertion at the time when the mark was set.
    mark: u32,
}

/// What the heap knows of an item.
#[derive(Debug, Clone, Copy)]
struct Item {
    /// The place of its node in `nodes`, or that in the run behind `DRAWN`, or `ABSENT`.
    place: u32,
    /// The order in which it was inserted or renewed. That of its node is the same, or less if the
    /// item was renewed since its node was moved.
    order: u32,
}

/// The least item of a heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Least {
    /// The key of the item.
    pub(crate) key: u64,
    /// Whether the item was inserted after the mark was set. Of a renewed item that has not been
    /// postponed since, it is whether it was *first* inserted after the mark.
    pub(crate) is_after_mark: bool,
    /// The item.
    pub(crate) item: u32,
}

impl Heap {
    /// Returns the number of items.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() + self.run.len()
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
        let node = match self.run.first() {
            None => *self.nodes.first()?,
            Some(drawn) => self.nodes.first().map_or(drawn, |node| drawn.min(*node)),
        };
        let is_after_mark = node.order() >= self.mark;
        Some(Least { key: node.key(), is_after_mark, item: node.item() })
    }

    /// Returns `true` if `item` is in the heap.
    pub(crate) fn contains(&self, item: u32) -> bool {
        self.items.get(item as usize).is_some_and(|known| known.place != ABSENT)
    }

    /// Inserts `item`, which must not be in the heap.
    #[inline]
    pub(crate) fn insert(&mut self, item: u32, key: u64) {
        debug_assert!(!self.contains(item));
        if self.items.len() <= item as usize {
            self.make_room(item);
        }
        let order = self.order();
        self.next_order = order + 1;
        self.items[item as usize].order = order;
        let node = Node::new(key, order, item);
        self.add(node);
    }

    /// Adds a node.
    #[inline]
    fn add(&mut self, node: Node) {
        self.nodes.push(node);
        self.sift_up(self.nodes.len() - 1, node);
    }

    /// Counts `item` as inserted now, if it is in the heap with a key less than `key`, and returns
    /// `true`. Its node stays as it is until the item is postponed, so the caller must postpone it
    /// before it means anything that the item is the least one.
    #[inline]
    pub(crate) fn renew_below(&mut self, item: u32, key: u64) -> bool {
        let order = self.order();
        let Some(known) = self.items.get_mut(item as usize) else { return false };
        // No node is at the place `ABSENT`.
        let place = known.place as usize;
        let node = self.nodes.get(place).copied().or_else(|| drawn(&self.run, place));
        let Some(node) = node else { return false };
        if node.key() >= key {
            return false;
        }
        known.order = order;
        self.next_order = order + 1;
        true
    }

    /// Returns the order of the next insertion. If there is one, the caller counts it.
    #[inline]
    fn order(&mut self) -> u32 {
        if self.next_order == u32::MAX {
            self.renumber();
        }
        self.next_order
    }

    /// Makes room in `items` for an item with a greater number than all before.
    #[cold]
    fn make_room(&mut self, item: u32) {
        // As many nodes as there may be items have places below `DRAWN`.
        assert!(item < DRAWN, "the heap is full");
        self.items.resize(item as usize + 1, Item { place: ABSENT, order: 0 });
    }

    /// Numbers the nodes and their items from 0, in the order that they have. No comparison changes,
    /// so every node stays in its place. This happens once in 2³² insertions, and takes some
    /// milliseconds for 100,000 nodes.
    #[cold]
    fn renumber(&mut self) {
        let (nodes, items) = (&mut self.nodes, &mut self.items);
        let mut orders: Vec<u32> = Vec::with_capacity(nodes.len() * 2);
        for node in nodes.iter_mut().chain(self.run.nodes_mut()) {
            orders.extend([node.order(), items[node.item() as usize].order]);
        }
        orders.sort_unstable();
        orders.dedup();
        // The place of an order among all that are in use becomes the new order.
        let renumbered = |order: u32| orders.partition_point(|other| *other < order) as u32;
        for node in nodes.iter_mut().chain(self.run.nodes_mut()) {
            let item = &mut items[node.item() as usize];
            item.order = renumbered(item.order);
            *node = Node::new(node.key(), renumbered(node.order()), node.item());
        }
        // As many as were inserted before the mark stay before it.
        self.mark = renumbered(self.mark);
        // A node and its item use up to two, so it takes 2³¹ nodes to find no number free.
        self.next_order = u32::try_from(orders.len()).expect("the heap is full");
        assert!(self.next_order < u32::MAX, "the heap is full");
    }

    /// Gives `item` a greater key. Among items with equal keys, it comes in the order in which it
    /// was inserted or renewed.
    pub(crate) fn postpone(&mut self, item: u32, key: u64) {
        let Some(Item { place, order }) = self.items.get(item as usize).copied() else { return };
        if let Some(node) = self.nodes.get(place as usize) {
            debug_assert!(key >= node.key());
            self.sift_down(place as usize, Node::new(key, order, item));
        } else if drawn(&self.run, place as usize).is_some() {
            self.run.remove((place - DRAWN) as usize);
            self.add(Node::new(key, order, item));
        }
    }

    /// Removes `item`. Returns `false` if it was not in the heap.
    #[inline]
    pub(crate) fn remove(&mut self, item: u32) -> bool {
        let Some(item) = self.items.get_mut(item as usize) else { return false };
        let hole = std::mem::replace(&mut item.place, ABSENT) as usize;
        if hole >= DRAWN as usize {
            return self.remove_drawn(hole);
        }
        let last = self.nodes.pop().expect("an item with a place is in the heap");
        // The last node fills the hole, unless it was the one that was removed.
        if hole < self.nodes.len() {
            self.settle(hole, last);
        }
        true
    }

    /// Removes the node at a place from `DRAWN` on. Returns `false` if that is `ABSENT`.
    fn remove_drawn(&mut self, place: usize) -> bool {
        if place == ABSENT as usize {
            return false;
        }
        self.run.remove(place - DRAWN as usize);
        true
    }

    /// Removes the least item, which is there. Those up to `limit` are going to follow, so if there
    /// are any they are drawn with it.
    #[inline]
    pub(crate) fn take_least(&mut self, limit: u64) {
        let Some(least) = self.peek() else { return };
        if self.run.len() == 0 && self.nodes.iter().skip(1).take(ARITY).any(|n| n.key() <= limit) {
            self.draw(Node::new(limit, u32::MAX, u32::MAX));
        }
        self.remove(least.item);
    }

    /// Draws the least nodes up to `last` into the run, which is empty.
    fn draw(&mut self, last: Node) {
        self.run.find(&self.nodes, last);
        // From the last place on: below each hole is a heap, and what comes to fill it is none of
        // those that are drawn. So it belongs where it is, or below.
        while let Some(hole) = self.run.next_place() {
            self.run.push(self.nodes[hole]);
            let end = self.nodes.pop().expect("there is one at the hole");
            if hole < self.nodes.len() {
                self.sift_down(hole, end);
            }
        }
        for (index, node) in self.run.sort() {
            self.items[node.item() as usize].place = DRAWN + index as u32;
        }
    }

    /// Returns the item that becomes the least one after so many others, if that is known.
    #[inline]
    pub(crate) fn upcoming(&self, others: usize) -> Option<u32> {
        self.run.after(others).map(Node::item)
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
        while let Some(least) = self.least_child(hole) {
            if !self.nodes[least].is_before(node) {
                break;
            }
            self.place(hole, self.nodes[least]);
            hole = least;
        }
        self.place(hole, node);
    }

    /// Returns the place of the least child of the node at `parent`, unless that is a leaf.
    #[inline]
    fn least_child(&self, parent: usize) -> Option<usize> {
        let first = parent * ARITY + 1;
        // The children lie side by side: in one cache line or two.
        let children = self.nodes.get(first..)?;
        if self.nodes.len() > CACHED {
            self.load_grandchildren(first * ARITY + 1);
        }
        if let Some([a, b, c, d]) = children.first_chunk() {
            // No processor foresees which of them it is. Without a branch the choice takes half the
            // time.
            let (is_second, is_last) = (b.is_before(*a), d.is_before(*c));
            let left = select_unpredictable(is_second, *b, *a);
            let right = select_unpredictable(is_last, *d, *c);
            let (left_place, right_place) = (usize::from(is_second), 2 + usize::from(is_last));
            let is_right = right.is_before(left);
            return Some(first + select_unpredictable(is_right, right_place, left_place));
        }
        let places = first..self.nodes.len();
        places.min_by_key(|place| self.nodes[*place])
    }

    /// Loads the nodes from the place `first` on that are the children of four siblings. Nothing waits
    /// for these loads, so they overlap with the choice among the siblings. The processor would not
    /// begin them by itself, as no branch tells it in advance where the way leads.
    fn load_grandchildren(&self, first: usize) {
        if let Some(grandchildren) = self.nodes.get(first..first + ARITY * ARITY) {
            for node in grandchildren.iter().step_by(ARITY) {
                black_box(node.item());
            }
        }
    }

    /// Puts `node` at `place`, and notes where its item is.
    #[inline]
    fn place(&mut self, place: usize, node: Node) {
        self.nodes[place] = node;
        self.items[node.item() as usize].place = place as u32;
    }
}

/// Returns the node of `run` at a place from `DRAWN` on, if there is one.
fn drawn(run: &Run, place: usize) -> Option<Node> {
    run.get(place.checked_sub(DRAWN as usize)?)
}

#[cfg(test)]
mod tests;
