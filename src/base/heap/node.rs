//! The nodes of a heap.

/// The number of children of a node. Four nodes of 16 bytes are one cache line, and the heap is
/// half as deep as a binary one.
pub(super) const ARITY: usize = 4;

/// One node: 16 bytes, so that the comparison of a sift stays in the line it has loaded. From the
/// high bits to the low ones: the key, the order and the item. No two orders are equal, so the item
/// never decides a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node(u128);

impl Node {
    /// Packs the three numbers.
    #[inline]
    pub(super) fn new(key: u64, order: u32, item: u32) -> Node {
        Node((u128::from(key) << 64) | (u128::from(order) << 32) | u128::from(item))
    }

    /// Returns the key.
    #[inline]
    pub(super) fn key(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// Returns the order of insertion.
    #[inline]
    pub(super) fn order(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns the item.
    #[inline]
    pub(super) fn item(self) -> u32 {
        self.0 as u32
    }

    /// Returns `true` if this node comes before `other`: its key is less, or it was inserted
    /// earlier.
    #[inline]
    pub(super) fn is_before(self, other: Node) -> bool {
        self < other
    }

    /// Returns how far this node lies behind `other`, as a number of both key and order.
    pub(super) fn distance_from(self, other: Node) -> u128 {
        self.0 - other.0
    }

    /// Returns what lies behind this node by `distance`, or as far as there is.
    pub(super) fn behind(self, distance: u128) -> Node {
        Node(self.0.saturating_add(distance))
    }
}
