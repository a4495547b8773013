// An ordered set inside memory that threads share: a treap whose nodes are given by index, so that
// it needs no allocation, with the sum of the tokens of every subtree. Index 0 is no node: zeroed
// memory is an empty tree. Called under the lock of the queues (queues.h) only.
#pragma once

#include <cstdint>

#include "fleet_state.h"

namespace dualmap {

/// Lower goes first: by priority class, then by value, then by order of arrival.
struct TreeKey {
  int32_t priority;
  double value;
  uint64_t sequence;  // distinct

  friend bool operator<(const TreeKey& a, const TreeKey& b) noexcept {
    if (a.priority != b.priority) return a.priority < b.priority;
    if (a.value != b.value) return a.value < b.value;
    return a.sequence < b.sequence;
  }
};

/// A cache line: most nodes that are passed on the way to one are not in the cache.
struct alignas(kLineBytes) TreeNode {
  TreeKey key;
  uint64_t tokens;  // its own
  uint64_t sum;     // of it and all below it
  uint32_t left;
  uint32_t right;
  uint32_t weight;  // parents weigh more than children
};

class Tree {
 public:
  /// `root`: where the index of the root lies. Both outlive the tree, which is only a view.
  Tree(TreeNode* nodes, uint32_t* root) noexcept : nodes_(nodes), root_(root) {}

  [[nodiscard]] bool isEmpty() const noexcept { return *root_ == 0; }
  [[nodiscard]] uint64_t sum() const noexcept { return nodes_[*root_].sum; }

  /// The node's `key` and `tokens` are set; no other node of the tree has that key.
  void insert(uint32_t node) noexcept {
    TreeNode& added = nodes_[node];
    added.weight = mixed(added.key.sequence);
    added.left = added.right = 0;
    *root_ = inserted(*root_, node);
  }

  /// The node is in the tree, with the key that it was inserted with.
  void erase(uint32_t node) noexcept { *root_ = erased(*root_, node); }

  /// Index of the first; 0 if there is none.
  [[nodiscard]] uint32_t first() const noexcept {
    uint32_t at = *root_;
    while (at != 0 && nodes_[at].left != 0) at = nodes_[at].left;
    return at;
  }

  /// Tokens of all that go before a key.
  [[nodiscard]] uint64_t sumBefore(const TreeKey& key) const noexcept {
    uint64_t sum = 0;
    for (uint32_t at = *root_; at != 0;) {
      const TreeNode& node = nodes_[at];
      if (node.key < key) {
        sum += nodes_[node.left].sum + node.tokens;
        at = node.right;
      } else {
        at = node.left;
      }
    }
    return sum;
  }

  /// Goes through the nodes in order; must not outlive a change of the tree.
  class Cursor {
   public:
    explicit Cursor(const Tree& tree) noexcept : nodes_(tree.nodes_) { descend(*tree.root_); }
    [[nodiscard]] uint32_t node() const noexcept { return depth_ == 0 ? 0 : path_[depth_ - 1]; }
    void advance() noexcept {
      const uint32_t right = nodes_[path_[--depth_]].right;
      descend(right);
    }

   private:
    // A treap of a million nodes is about 50 deep; twice that has never been seen.
    static constexpr uint32_t kDepthMax = 128;
    void descend(uint32_t at) noexcept {
      for (; at != 0; at = nodes_[at].left) {
        DUALMAP_ASSERT(depth_ < kDepthMax, "a queue is out of balance");
        path_[depth_++] = at;
      }
    }

    const TreeNode* nodes_;
    uint32_t path_[kDepthMax];
    uint32_t depth_ = 0;
  };

 private:
  // Keys come in order of arrival: the weights must not, whatever the distance between the numbers
  // that meet in one tree, or it becomes a list. A multiplication alone is not enough.
  // (SplitMix64.)
  static uint32_t mixed(uint64_t sequence) noexcept {
    sequence += 0x9E3779B97F4A7C15;
    sequence = (sequence ^ (sequence >> 30)) * 0xBF58476D1CE4E5B9;
    sequence = (sequence ^ (sequence >> 27)) * 0x94D049BB133111EB;
    return static_cast<uint32_t>((sequence ^ (sequence >> 31)) >> 32);
  }

  // Sums are changed on the way down where that is enough: it spares a look at the other child.
  uint32_t updated(uint32_t at) noexcept {
    TreeNode& node = nodes_[at];
    node.sum = nodes_[node.left].sum + node.tokens + nodes_[node.right].sum;
    return at;
  }

  uint32_t inserted(uint32_t at, uint32_t node) noexcept {
    if (at == 0) return updated(node);
    TreeNode& here = nodes_[at];
    TreeNode& added = nodes_[node];
    if (added.weight > here.weight) {
      split(at, added.key, &added.left, &added.right);
      return updated(node);
    }
    here.sum += added.tokens;
    uint32_t& side = added.key < here.key ? here.left : here.right;
    side = inserted(side, node);
    return at;
  }

  void split(uint32_t at, const TreeKey& key, uint32_t* left, uint32_t* right) noexcept {
    if (at == 0) {
      *left = *right = 0;
    } else if (nodes_[at].key < key) {
      split(nodes_[at].right, key, &nodes_[at].right, right);
      *left = updated(at);
    } else {
      split(nodes_[at].left, key, left, &nodes_[at].left);
      *right = updated(at);
    }
  }

  uint32_t erased(uint32_t at, uint32_t node) noexcept {
    DUALMAP_ASSERT(at != 0, "what waits is not in its queue");
    if (at == node) return merged(nodes_[at].left, nodes_[at].right);
    TreeNode& here = nodes_[at];
    here.sum -= nodes_[node].tokens;
    uint32_t& side = nodes_[node].key < here.key ? here.left : here.right;
    side = erased(side, node);
    return at;
  }

  uint32_t merged(uint32_t left, uint32_t right) noexcept {
    if (left == 0) return right;
    if (right == 0) return left;
    if (nodes_[left].weight > nodes_[right].weight) {
      nodes_[left].sum += nodes_[right].sum;
      nodes_[left].right = merged(nodes_[left].right, right);
      return left;
    }
    nodes_[right].sum += nodes_[left].sum;
    nodes_[right].left = merged(left, nodes_[right].left);
    return right;
  }

  TreeNode* nodes_;
  uint32_t* root_;
};

}  // namespace dualmap
