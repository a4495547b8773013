// How many tokens a byte of canonical prompt makes, for each model: learnt from what engines report
// of their prompts. A table in the fleet state, shared and written by all threads, read by every
// decision. It never forgets a model and never grows: what does not fit has the stated default.
#pragma once

#include <atomic>
#include <cstdint>

#include "fleet_state.h"

namespace dualmap {

class TokenRatios {
 public:
  /// More models than a fleet serves; a model beyond them is measured by the default.
  static constexpr uint32_t kModelsMax = 64;

  TokenRatios(const FleetState& state, double tokensPerByteDefault) noexcept
      : rows_(reinterpret_cast<Row*>(state.tokenRatios())),
        tokensPerByteDefault_(tokensPerByteDefault) {}

  /// `model`: hash of its name, 0 for a request that names none.
  [[nodiscard]] double tokensPerByte(uint64_t model) const noexcept;

  /// A prompt of `bytes` canonical bytes was `tokens` tokens for the engine.
  void learn(uint64_t model, uint64_t bytes, uint64_t tokens) noexcept;

 private:
  /// Alone on its line: one model's news must not slow another's readers.
  struct alignas(kLineBytes) Row {
    std::atomic<uint64_t> model;  // 0: free
    std::atomic<double> tokensPerByte;
    std::atomic<double> bytes;  // that stand behind it
  };

 public:
  static constexpr uint64_t kBytes = kModelsMax * sizeof(Row);

 private:
  [[nodiscard]] Row* find(uint64_t model) const noexcept;
  [[nodiscard]] Row* findOrTake(uint64_t model) noexcept;

  Row* rows_;
  double tokensPerByteDefault_;
};

}  // namespace dualmap
