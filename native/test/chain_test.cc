// Blocks and their chain: however bytes arrive, the hashes are those of the bytes.

#include "core/chain.h"
#include "prompt_model.h"

namespace dualmap::test {
namespace {

std::string randomBytes(Random& random, size_t count) {
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.next());
  return bytes;
}

uint64_t keyOf(const std::string& bytes) {
  const std::vector<uint64_t> blocks = blocksOf(bytes);
  const std::string rest = bytes.substr(blocks.size() * 512);
  const uint64_t last = blocks.empty() ? 0 : blocks.back();
  return rest.empty() && !blocks.empty() ? last : chained(last, rest);
}

/// A piece length: mostly about the sizes where a block ends or scratch begins to pay.
size_t pieceBytes(Random& random) {
  constexpr size_t edges[] = {0,   1,   7,   8,    9,    503,  504,  505,
                              511, 512, 513, 1023, 1024, 1025, 1536, 4096};
  return random.chance(0.7) ? edges[random.below(std::size(edges))] : random.below(3000);
}

TEST(anyCutGivesTheSameHashes) {
  Random random(4);
  for (int round = 0; round < 400; ++round) {
    std::vector<uint64_t> hashes{99};  // `reset` clears what was there
    BlockChain chain;
    chain.reset(&hashes);
    std::string all;
    for (uint64_t pieces = random.below(8); pieces > 0; --pieces) {
      const std::string piece = randomBytes(random, pieceBytes(random));
      all += piece;
      if (random.chance(0.5)) {
        chain.append(piece);
      } else {
        // Scratch that starts where its allocation does: a write before it is seen by ASan.
        auto* scratch = static_cast<char*>(std::malloc(piece.size() + 1));
        std::memcpy(scratch, piece.data(), piece.size());
        chain.appendScratch({scratch, piece.size()});
        std::free(scratch);
      }
      CHECK_EQUAL(chain.bytes(), all.size());
      CHECK(hashes == blocksOf(all));
      CHECK_EQUAL(chain.keyHere(), keyOf(all));
    }
  }
}

TEST(everySplitOfTwoBlocks) {
  Random random(5);
  const std::string all = randomBytes(random, 1030);
  for (size_t at = 0; at <= all.size(); ++at) {
    std::vector<uint64_t> hashes;
    BlockChain chain;
    chain.reset(&hashes);
    chain.append(std::string_view(all).substr(0, at));
    chain.append(std::string_view(all).substr(at));
    CHECK_THAT(hashes == blocksOf(all), std::to_string(at));
    CHECK_THAT(chain.keyHere() == keyOf(all), std::to_string(at));
  }
}

TEST(aHashNamesTheWholePrefix) {
  const std::string block(512, 'a');
  const std::string other(512, 'b');
  const auto same = blocksOf(block + block + block);
  const auto changed = blocksOf(other + block + block);
  for (size_t i = 0; i < 3; ++i) CHECK(same[i] != changed[i]);
  CHECK(same[0] != same[1]);
}

// Traces and benchmarks come with ready hashes: level l is block min(2^l, count).
TEST(levelKeysOfReadyHashes) {
  std::vector<uint64_t> hashes(100'000);
  for (size_t i = 0; i < hashes.size(); ++i) hashes[i] = 1000 + i;
  for (const size_t count : {1, 2, 3, 4, 5, 8, 9, 1000, 65'536, 65'537, 100'000}) {
    LevelKeys levels;
    levelKeysOfChain(hashes.data(), count, &levels);
    std::vector<uint64_t> want;
    for (size_t blocks = 1; want.size() < 17; blocks *= 2) {
      want.push_back(hashes[std::min(blocks, count) - 1]);
      if (blocks >= count) break;
    }
    const std::vector<uint64_t> got(levels.keys.begin(), levels.keys.begin() + levels.count);
    CHECK_THAT(got == want, std::to_string(count));
  }
  LevelKeys none;
  levelKeysOfChain(nullptr, 0, &none);
  CHECK_EQUAL(none.count, 1u);
  CHECK_EQUAL(none.keys[0], 0u);
}

}  // namespace
}  // namespace dualmap::test
