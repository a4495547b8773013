#include "rings.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "xxh3.h"

namespace dualmap {

namespace {

constexpr uint64_t kBufferMask = 3;
constexpr uint64_t kVersionStep = 4;
constexpr int kVersionShift = 2;

uint32_t radixBitsFor(uint32_t points) noexcept {
  uint32_t bits = 1;
  while ((uint32_t{1} << bits) < points && bits < 24) ++bits;
  return bits;
}

uint32_t pointsOf(double weight) noexcept {
  return static_cast<uint32_t>(std::max(1.0, std::round(kPointsPerWeight * weight)));
}

uint64_t pointPosition(uint64_t identity, uint32_t ring, uint32_t point,
                       uint64_t ringSeed) noexcept {
  char bytes[16];
  std::memcpy(bytes, &identity, 8);
  std::memcpy(bytes + 8, &ring, 4);
  std::memcpy(bytes + 12, &point, 4);
  return xxh3(bytes, sizeof bytes, ringSeed);
}

uint64_t roundUp(uint64_t bytes) noexcept {
  return (bytes + kLineBytes - 1) / kLineBytes * kLineBytes;
}

/// Groups are sets of member indexes that serve the same models; equal sets share their rings.
struct Grouping {
  std::vector<std::vector<uint32_t>> groups;
  std::vector<RingModel> models;
  uint32_t groupAny = kNone;
  uint32_t groupUnlisted = kNone;
};

Grouping groupMembers(const std::vector<RingMember>& members) {
  Grouping result;
  std::map<uint64_t, std::vector<uint32_t>> serving;
  std::vector<uint32_t> everyone;
  std::vector<uint32_t> unlisted;
  for (uint32_t i = 0; i < members.size(); ++i) {
    everyone.push_back(i);
    if (members[i].models.empty()) unlisted.push_back(i);
    for (const uint64_t model : members[i].models) serving[model];
  }
  for (uint32_t i = 0; i < members.size(); ++i) {
    if (members[i].models.empty()) {
      for (auto& [model, list] : serving) list.push_back(i);
    } else {
      for (const uint64_t model : members[i].models) {
        std::vector<uint32_t>& list = serving[model];
        if (list.empty() || list.back() != i) list.push_back(i);
      }
    }
  }
  std::map<std::vector<uint32_t>, uint32_t> known;
  const auto groupFor = [&](const std::vector<uint32_t>& list) -> uint32_t {
    if (list.empty()) return kNone;
    const auto [at, isNew] = known.emplace(list, static_cast<uint32_t>(result.groups.size()));
    if (isNew) result.groups.push_back(list);
    return at->second;
  };
  result.groupAny = groupFor(everyone);
  result.groupUnlisted = groupFor(unlisted);
  for (const auto& [model, list] : serving) result.models.push_back({model, groupFor(list), 0});
  return result;
}

std::vector<RingPoint> ringOf(const std::vector<RingMember>& members,
                              const std::vector<uint32_t>& group, uint32_t ring,
                              uint64_t ringSeed) {
  struct Entry {
    RingPoint point;
    uint64_t identity;
  };
  std::vector<Entry> entries;
  for (const uint32_t index : group) {
    const RingMember& member = members[index];
    for (uint32_t point = 0; point < pointsOf(member.weight); ++point) {
      const uint64_t position = pointPosition(member.identity, ring, point, ringSeed);
      entries.push_back({{position, member.slot, 0}, member.identity});
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.point.position != b.point.position ? a.point.position < b.point.position
                                                : a.identity < b.identity;
  });
  std::vector<RingPoint> points;
  points.reserve(entries.size());
  for (const Entry& entry : entries) points.push_back(entry.point);
  return points;
}

// radix[b] is the index of the first point whose top bits are at least b.
void fillRadix(const std::vector<RingPoint>& points, uint32_t bits, uint32_t* radix) noexcept {
  uint32_t at = 0;
  for (uint32_t bucket = 0; bucket <= (uint32_t{1} << bits); ++bucket) {
    while (at < points.size() && (points[at].position >> (64 - bits)) < bucket) ++at;
    radix[bucket] = at;
  }
}

/// Sizes of the arrays of a ring buffer, and where they start.
struct Arrays {
  uint64_t groupsAt, modelsAt, membersAt, pointsAt, radixAt, end;

  Arrays(uint64_t groups, uint64_t models, uint64_t members, uint64_t points,
         uint64_t radix) noexcept {
    groupsAt = roundUp(sizeof(RingTable));
    modelsAt = groupsAt + roundUp(groups * sizeof(RingGroup));
    membersAt = modelsAt + roundUp(models * sizeof(RingModel));
    pointsAt = membersAt + roundUp(members * sizeof(uint32_t));
    radixAt = pointsAt + roundUp(points * sizeof(RingPoint));
    end = radixAt + roundUp(radix * sizeof(uint32_t));
  }
};

}  // namespace

uint64_t Rings::bytesFor(const Capacities& capacities) noexcept {
  // A radix table has at most twice as many entries as its ring has points, plus one.
  const uint64_t points = capacities.ringPointsMax;
  const uint64_t small = uint64_t{capacities.instancesMax} * 64 + 4096;
  return Arrays(64, 1024, small, points, 2 * points + 4096).end;
}

Rings::BuildResult Rings::build(const std::vector<RingMember>& members,
                                uint64_t ringSeed) noexcept {
  StateHeader& header = state_->header();
  const uint64_t current = header.ringsCurrent.load(std::memory_order_relaxed);
  uint32_t buffer = kNone;
  for (uint32_t candidate = 0; candidate < kRingBuffers && buffer == kNone; ++candidate) {
    if (current != 0 && (current & kBufferMask) == candidate) continue;
    bool isRead = false;
    for (uint32_t thread = 0; thread < state_->capacities().threadsMax; ++thread) {
      // Pairs with the release store in ~Reading: what a reader read happens before we write.
      const uint64_t announced = state_->reader(thread).announced.load(std::memory_order_seq_cst);
      if (announced != 0 && (announced & kBufferMask) == candidate) isRead = true;
    }
    if (!isRead) buffer = candidate;
  }
  if (buffer == kNone) return BuildResult::busy;

  const Grouping grouping = groupMembers(members);
  std::vector<RingGroup> groups;
  std::vector<std::vector<RingPoint>> rings;
  std::vector<uint32_t> slots;
  uint64_t points = 0;
  uint64_t radix = 0;
  for (const std::vector<uint32_t>& list : grouping.groups) {
    RingGroup& group = groups.emplace_back();
    group.members = static_cast<uint32_t>(list.size());
    group.membersAt = static_cast<uint32_t>(slots.size());
    for (const uint32_t index : list) slots.push_back(members[index].slot);
    for (uint32_t ring = 0; ring < 2; ++ring) {
      rings.push_back(ringOf(members, list, ring, ringSeed));
      const auto count = static_cast<uint32_t>(rings.back().size());
      group.points[ring] = count;
      group.pointsAt[ring] = static_cast<uint32_t>(points);
      group.radixBits[ring] = radixBitsFor(count);
      group.radixAt[ring] = static_cast<uint32_t>(radix);
      points += count;
      radix += (uint64_t{1} << group.radixBits[ring]) + 1;
    }
  }
  const Arrays arrays(groups.size(), grouping.models.size(), slots.size(), points, radix);
  if (arrays.end > bytesFor(state_->capacities())) return BuildResult::tooLarge;

  char* base = state_->ringBuffer(buffer);
  RingTable table{};
  table.ringSeed = ringSeed;
  table.groups = static_cast<uint32_t>(groups.size());
  table.models = static_cast<uint32_t>(grouping.models.size());
  table.groupAny = grouping.groupAny;
  table.groupUnlisted = grouping.groupUnlisted;
  table.groupsAt = arrays.groupsAt;
  table.modelsAt = arrays.modelsAt;
  table.membersAt = arrays.membersAt;
  table.pointsAt = arrays.pointsAt;
  table.radixAt = arrays.radixAt;
  const auto copy = [base](uint64_t at, const auto& list) {
    if (!list.empty()) std::memcpy(base + at, list.data(), list.size() * sizeof list[0]);
  };
  std::memcpy(base, &table, sizeof table);
  copy(arrays.groupsAt, groups);
  copy(arrays.modelsAt, grouping.models);
  copy(arrays.membersAt, slots);
  for (size_t i = 0; i < rings.size(); ++i) {
    const RingGroup& group = groups[i / 2];
    copy(arrays.pointsAt + group.pointsAt[i % 2] * sizeof(RingPoint), rings[i]);
    auto* radixTable = reinterpret_cast<uint32_t*>(base + arrays.radixAt) + group.radixAt[i % 2];
    fillRadix(rings[i], group.radixBits[i % 2], radixTable);
  }
  // Pairs with the loads in Reading: whoever sees the new word sees the buffer written.
  const uint64_t version = (current & ~kBufferMask) + kVersionStep;
  header.ringsCurrent.store(version | buffer, std::memory_order_seq_cst);
  return BuildResult::built;
}

uint64_t Rings::version() const noexcept {
  return state_->header().ringsCurrent.load(std::memory_order_relaxed) >> kVersionShift;
}

bool Rings::isReadBefore(uint64_t version) const noexcept {
  for (uint32_t thread = 0; thread < state_->capacities().threadsMax; ++thread) {
    // Pairs with the stores in Reading and ~Reading, as the builder's scan does: whoever announces
    // later sees the newer rings, and whoever has withdrawn has reserved before.
    const uint64_t announced = state_->reader(thread).announced.load(std::memory_order_seq_cst);
    if (announced != 0 && announced >> kVersionShift < version) return true;
  }
  return false;
}

Rings::Reading::Reading(const Rings& rings) noexcept : line_(rings.state_->reader(rings.thread_)) {
  const std::atomic<uint64_t>& current = rings.state_->header().ringsCurrent;
  uint64_t seen = current.load(std::memory_order_acquire);
  while (true) {
    // Sequentially consistent with the builder's scan: either it sees us, or we see its swap.
    line_.announced.store(seen, std::memory_order_seq_cst);
    const uint64_t again = current.load(std::memory_order_seq_cst);
    if (again == seen) break;
    seen = again;
  }
  if (seen == 0) return;
  const char* base = rings.state_->ringBuffer(static_cast<uint32_t>(seen & kBufferMask));
  table_ = reinterpret_cast<const RingTable*>(base);
  groups_ = reinterpret_cast<const RingGroup*>(base + table_->groupsAt);
  models_ = reinterpret_cast<const RingModel*>(base + table_->modelsAt);
  members_ = reinterpret_cast<const uint32_t*>(base + table_->membersAt);
  points_ = reinterpret_cast<const RingPoint*>(base + table_->pointsAt);
  radix_ = reinterpret_cast<const uint32_t*>(base + table_->radixAt);
}

Rings::Reading::~Reading() noexcept { line_.announced.store(0, std::memory_order_release); }

uint32_t Rings::Reading::groupOf(uint64_t model) const noexcept {
  if (table_ == nullptr) return kNone;
  if (model == 0) return table_->groupAny;
  const RingModel* end = models_ + table_->models;
  const RingModel* at = std::lower_bound(
      models_, end, model,
      [](const RingModel& entry, uint64_t wanted) { return entry.model < wanted; });
  return at != end && at->model == model ? at->group : table_->groupUnlisted;
}

uint32_t Rings::Reading::start(const RingGroup& group, uint32_t ring, uint64_t key) const noexcept {
  const uint64_t position = xxh3Word(key, table_->ringSeed + 1 + ring);
  const RingPoint* points = points_ + group.pointsAt[ring];
  const uint32_t count = group.points[ring];
  const uint32_t bucket = static_cast<uint32_t>(position >> (64 - group.radixBits[ring]));
  uint32_t at = radix_[group.radixAt[ring] + bucket];
  while (at < count && points[at].position < position) ++at;
  return at == count ? 0 : at;
}

}  // namespace dualmap
