// A small tree of JSON values read by simdjson on-demand, written with sorted keys and no white
// space (native/core/README.md, "Canonical JSON"). One per scanner, used by one thread. Text in the
// tree is borrowed from the parser's string buffer and dies with the next document.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "simdjson.h"

namespace dualmap {

enum class ScanFault : uint8_t { none, invalidJson, invalidType, emptyPrompt, tooDeep };

class JsonTree {
 public:
  enum class Type : uint8_t { null, literal, number, string, array, object };

  struct Node {
    Type type = Type::null;
    std::string_view text;  // literal, number: as in the body; string: unescaped
    std::string_view key;   // inside an object
    uint32_t firstChild = 0;
    uint32_t next = 0;  // next sibling; 0 is none (node 0 is a sentinel)
  };

  static constexpr int kDepthMax = 64;

  void clear() noexcept;

  /// Reads a value into the tree. Returns its node in `out`.
  [[nodiscard]] ScanFault read(simdjson::ondemand::parser& parser, simdjson::ondemand::value value,
                               uint32_t* out) noexcept;

  [[nodiscard]] const Node& node(uint32_t index) const noexcept { return nodes_[index]; }

  /// The value of a key of an object; 0 if absent.
  [[nodiscard]] uint32_t child(uint32_t object, std::string_view key) const noexcept;

  /// The unescaped key of a field. Lives until `clear`.
  [[nodiscard]] ScanFault keyOf(simdjson::ondemand::parser& parser,
                                simdjson::ondemand::field& field, std::string_view* out) noexcept;

  /// Writes canonical JSON; `sink` is called with pieces of bytes in order.
  template <typename Sink>
  void write(uint32_t index, Sink&& sink) const noexcept {
    const Node& node = nodes_[index];
    switch (node.type) {
      case Type::null:
        sink("null");
        break;
      case Type::literal:
      case Type::number:
        sink(node.text);
        break;
      case Type::string:
        writeString(node.text, sink);
        break;
      case Type::array:
      case Type::object:
        writeChildren(node, sink);
        break;
    }
  }

 private:
  template <typename Sink>
  static void writeString(std::string_view text, Sink&& sink) noexcept {
    sink("\xFE");
    sink(text);
    sink("\xFE");
  }

  template <typename Sink>
  void writeChildren(const Node& parent, Sink&& sink) const noexcept {
    const bool isObject = parent.type == Type::object;
    sink(isObject ? "{" : "[");
    for (uint32_t child = parent.firstChild; child != 0; child = nodes_[child].next) {
      if (child != parent.firstChild) sink(",");
      if (isObject) {
        writeString(nodes_[child].key, sink);
        sink(":");
      }
      write(child, sink);
    }
    sink(isObject ? "}" : "]");
  }

  ScanFault readValue(simdjson::ondemand::parser& parser, simdjson::ondemand::value& value,
                      int depth, uint32_t* out) noexcept;
  ScanFault readArray(simdjson::ondemand::parser& parser, simdjson::ondemand::value& value,
                      int depth, uint32_t parent) noexcept;
  ScanFault readObject(simdjson::ondemand::parser& parser, simdjson::ondemand::value& value,
                       int depth, uint32_t parent) noexcept;
  void linkSorted(uint32_t parent, size_t pendingFrom) noexcept;
  uint32_t add(Type type) noexcept;

  std::vector<Node> nodes_;
  std::vector<uint32_t> pending_;        // children of the objects that are being read, as a stack
  std::deque<std::string> escapedKeys_;  // unescaped text of the rare keys with a backslash
};

}  // namespace dualmap
