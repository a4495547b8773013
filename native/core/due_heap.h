// A binary heap of moments, at most one of each ticket, which can be taken back: so it holds as
// many as are in flight, not as many as the longest of them could still come to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dualmap {

class DueHeap {
 public:
  [[nodiscard]] bool isEmpty() const noexcept { return heap_.empty(); }

  /// The earliest, in milliseconds; not if it is empty.
  [[nodiscard]] double firstMs() const noexcept { return heap_.front().atMs; }
  [[nodiscard]] uint32_t firstTicket() const noexcept { return heap_.front().ticket; }

  /// `ticket` is an index, counted from zero and dense, that has no moment yet.
  void insert(uint32_t ticket, double atMs) noexcept {
    if (ticket >= positions_.size()) positions_.resize(ticket + 1, kNowhere);
    heap_.push_back({atMs, ticket});
    rise(heap_.size() - 1, {atMs, ticket});
  }

  /// Nothing if the ticket has no moment.
  void erase(uint32_t ticket) noexcept {
    if (ticket >= positions_.size() || positions_[ticket] == kNowhere) return;
    const size_t position = positions_[ticket];
    positions_[ticket] = kNowhere;
    const Due last = heap_.back();
    heap_.pop_back();
    if (position == heap_.size()) return;
    if (position > 0 && last.atMs < heap_[(position - 1) / 2].atMs) {
      rise(position, last);
    } else {
      sink(position, last);
    }
  }

 private:
  static constexpr uint32_t kNowhere = UINT32_MAX;

  struct Due {
    double atMs;
    uint32_t ticket;
  };

  // Both put `due` where it belongs, from a position that is free.
  void rise(size_t position, const Due& due) noexcept {
    while (position > 0) {
      const size_t parent = (position - 1) / 2;
      if (heap_[parent].atMs <= due.atMs) break;
      put(position, heap_[parent]);
      position = parent;
    }
    put(position, due);
  }

  void sink(size_t position, const Due& due) noexcept {
    for (size_t child = 2 * position + 1; child < heap_.size(); child = 2 * position + 1) {
      if (child + 1 < heap_.size() && heap_[child + 1].atMs < heap_[child].atMs) ++child;
      if (due.atMs <= heap_[child].atMs) break;
      put(position, heap_[child]);
      position = child;
    }
    put(position, due);
  }

  void put(size_t position, const Due& due) noexcept {
    heap_[position] = due;
    positions_[due.ticket] = static_cast<uint32_t>(position);
  }

  std::vector<Due> heap_;
  std::vector<uint32_t> positions_;  // in the heap, by ticket
};

}  // namespace dualmap
