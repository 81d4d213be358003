//! The least nodes of a heap, drawn together and put in order.
//!
//! Where many items have to be taken, each of them costs the heap a way from its root to a leaf, and
//! a note of the new place of every node on that way. Those notes lie all over memory. Taken
//! together, most of that is saved: the nodes below a bound are the top of the heap, so that they
//! are found without a search, and what fills a hole moves from there and not from the root.

use std::cmp::Reverse;

use super::node::{ARITY, Node};

/// How many nodes are drawn together at most: as many as are sorted in the cache of a core.
pub(super) const MOST: usize = 1024;

/// A node of a run that was removed out of turn.
const REMOVED: u32 = u32::MAX;

/// Nodes in order, the last of which comes first.
#[derive(Debug)]
pub(super) struct Run {
    /// The nodes. The last one is not a removed one.
    nodes: Vec<Node>,
    /// How many of them were not removed.
    len: usize,
    /// The places in the heap of the nodes that are drawn next. Kept for its memory.
    places: Vec<u32>,
    /// How far from the first node the last one lay that was drawn, or how far it may lie: so that
    /// the next draw finds about as many nodes as it may, and is not too large.
    reach: u128,
}

impl Default for Run {
    fn default() -> Run {
        Run { nodes: Vec::new(), len: 0, places: Vec::new(), reach: u128::MAX }
    }
}

impl Run {
    /// Returns the number of nodes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the first node.
    #[inline]
    pub(super) fn first(&self) -> Option<Node> {
        self.nodes.last().copied()
    }

    /// Returns the node that comes after `others`, if it was not removed.
    #[inline]
    pub(super) fn after(&self, others: usize) -> Option<Node> {
        self.get(self.nodes.len().checked_sub(others + 1)?)
    }

    /// Returns the node at `index`, if it is there.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Node> {
        self.nodes.get(index).copied().filter(|node| node.item() != REMOVED)
    }

    /// Removes the node at `index`, which is there.
    pub(super) fn remove(&mut self, index: usize) {
        let node = self.nodes[index];
        self.nodes[index] = Node::new(node.key(), node.order(), REMOVED);
        self.len -= 1;
        while self.first().is_some_and(|node| node.item() == REMOVED) {
            self.nodes.pop();
        }
    }

    /// Returns the nodes, to be changed, but not in their order.
    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.nodes.iter_mut().filter(|node| node.item() != REMOVED)
    }

    /// Looks for the least nodes of `heap`, up to `last` and [`MOST`] at most, so that
    /// [`Run::next_place`] returns where they are.
    pub(super) fn find(&mut self, heap: &[Node], last: Node) {
        let first = heap[0];
        loop {
            let bound = last.min(first.behind(self.reach));
            if self.find_up_to(heap, bound) {
                break;
            }
            self.reach = bound.distance_from(first) / 4;
        }
        if self.places.len() < MOST / 8 {
            self.reach = self.reach.saturating_mul(4).max(1);
        }
    }

    /// Notes the places of all nodes up to `bound`. Returns `false` if they are too many.
    fn find_up_to(&mut self, heap: &[Node], bound: Node) -> bool {
        // What is not before its parent is found after it, and all that are found have their places
        // in ascending order.
        self.places.clear();
        self.places.push(0);
        let mut looked_at = 0;
        while let Some(&place) = self.places.get(looked_at) {
            let first = place as usize * ARITY + 1;
            for (child, node) in (first..).zip(heap.iter().skip(first).take(ARITY)) {
                if *node <= bound {
                    self.places.push(child as u32);
                }
            }
            looked_at += 1;
            if self.places.len() > MOST {
                return false;
            }
        }
        true
    }

    /// Returns the place of a node that was found: the greatest one first.
    #[inline]
    pub(super) fn next_place(&mut self) -> Option<usize> {
        self.places.pop().map(|place| place as usize)
    }

    /// Adds a node that was found, in any order.
    #[inline]
    pub(super) fn push(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// Puts the nodes in order. Returns them with their indices.
    pub(super) fn sort(&mut self) -> impl Iterator<Item = (usize, Node)> {
        self.nodes.sort_unstable_by_key(|node| Reverse(*node));
        self.len = self.nodes.len();
        self.nodes.iter().copied().enumerate()
    }
}
