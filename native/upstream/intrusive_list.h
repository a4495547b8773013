// A doubly linked list threaded through its elements: no allocation, removal from the middle in
// O(1). It owns nothing; an element leaves its list before it dies. One thread.
#pragma once

#include "invariant.h"

namespace dualmap::upstream {

template <class T>
struct ListHook {
  T* previous = nullptr;
  T* next = nullptr;
  // The list the element is in; null if none.
  void* list = nullptr;
};

template <class T, ListHook<T> T::*hook>
class IntrusiveList {
 public:
  [[nodiscard]] bool empty() const { return first_ == nullptr; }
  [[nodiscard]] T* front() const { return first_; }
  [[nodiscard]] static T* after(const T& element) { return (element.*hook).next; }

  void pushBack(T& element) { insert(element, last_, nullptr); }
  void pushFront(T& element) { insert(element, nullptr, first_); }

  T& popFront() {
    T& element = *first_;
    remove(element);
    return element;
  }

  void remove(T& element) {
    ListHook<T>& own = element.*hook;
    require(own.list == this, "removed from its list");
    (own.previous != nullptr ? (own.previous->*hook).next : first_) = own.next;
    (own.next != nullptr ? (own.next->*hook).previous : last_) = own.previous;
    own = {};
  }

  // Removes the element from whichever list of this kind it is in, if any.
  static void leave(T& element) {
    auto* const list = static_cast<IntrusiveList*>((element.*hook).list);
    if (list != nullptr) list->remove(element);
  }

 private:
  void insert(T& element, T* previous, T* next) {
    require((element.*hook).list == nullptr, "in one list");
    element.*hook = {previous, next, this};
    (previous != nullptr ? (previous->*hook).next : first_) = &element;
    (next != nullptr ? (next->*hook).previous : last_) = &element;
  }

  T* first_ = nullptr;
  T* last_ = nullptr;
};

}  // namespace dualmap::upstream
