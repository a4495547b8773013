// Tokens a byte, learnt from what engines report.

#include "core/token_ratios.h"

#include <cmath>
#include <string>

#include "router.h"

namespace dualmap::test {
namespace {

constexpr double kDefault = 0.25;

bool isNear(double got, double want, double share) { return std::abs(got / want - 1) < share; }

TEST(aModelBeginsWithTheDefault) {
  Fleet fleet;
  TokenRatios ratios(fleet.state, kDefault);
  CHECK_EQUAL(ratios.tokensPerByte(7), kDefault);
  CHECK_EQUAL(ratios.tokensPerByte(0), kDefault);
  ratios.learn(7, 0, 100);
  ratios.learn(7, 100, 0);
  CHECK_EQUAL(ratios.tokensPerByte(7), kDefault);
}

TEST(theRatioIsThatOfTheReports) {
  for (const double ratio : {0.05, 0.2, 0.25, 0.5, 1.0}) {
    Fleet fleet;
    TokenRatios ratios(fleet.state, kDefault);
    for (int i = 0; i < 40; ++i) ratios.learn(7, 4'000, std::llround(4'000 * ratio));
    CHECK_THAT(isNear(ratios.tokensPerByte(7), ratio, 0.1), std::to_string(ratio));
  }
}

TEST(modelsAreApart) {
  Fleet fleet;
  TokenRatios ratios(fleet.state, kDefault);
  for (int i = 0; i < 40; ++i) {
    ratios.learn(7, 4'000, 2'000);
    ratios.learn(7 + TokenRatios::kModelsMax, 4'000, 800);  // begins its search on the same row
    ratios.learn(0, 4'000, 1'200);
  }
  CHECK(isNear(ratios.tokensPerByte(7), 0.5, 0.1));
  CHECK(isNear(ratios.tokensPerByte(7 + TokenRatios::kModelsMax), 0.2, 0.1));
  CHECK(isNear(ratios.tokensPerByte(0), 0.3, 0.1));
  CHECK_EQUAL(ratios.tokensPerByte(8), kDefault);
  // Whoever attaches later sees the same.
  CHECK_EQUAL(TokenRatios(fleet.state, 1).tokensPerByte(7), ratios.tokensPerByte(7));
}

TEST(aWildReportMovesLittle) {
  Fleet fleet;
  TokenRatios ratios(fleet.state, kDefault);
  for (int i = 0; i < 40; ++i) ratios.learn(7, 4'000, 1'000);
  ratios.learn(7, 4'000, 4'000'000'000);
  CHECK(isNear(ratios.tokensPerByte(7), kDefault, 0.05));
  ratios.learn(7, 4'000'000, 1);
  CHECK(isNear(ratios.tokensPerByte(7), kDefault, 0.3));
}

TEST(aChangeOfTextIsFollowed) {
  Fleet fleet;
  TokenRatios ratios(fleet.state, kDefault);
  for (int i = 0; i < 2'000; ++i) ratios.learn(7, 4'000, 1'000);
  for (int i = 0; i < 2'000; ++i) ratios.learn(7, 4'000, 1'300);
  CHECK(isNear(ratios.tokensPerByte(7), 0.325, 0.03));
}

TEST(aModelBeyondTheTableHasTheDefault) {
  Fleet fleet;
  TokenRatios ratios(fleet.state, kDefault);
  for (uint64_t model = 1; model <= 2 * TokenRatios::kModelsMax; ++model) {
    for (int i = 0; i < 20; ++i) ratios.learn(model, 4'000, 4'000);
  }
  uint32_t learnt = 0;
  for (uint64_t model = 1; model <= 2 * TokenRatios::kModelsMax; ++model) {
    if (ratios.tokensPerByte(model) != kDefault) ++learnt;
  }
  CHECK_EQUAL(learnt, TokenRatios::kModelsMax);
}

// What was reserved by one ratio is given back by the same, whatever was learnt meanwhile.
TEST(aTicketKeepsItsOwnRatio) {
  Router router(2);
  const std::string body = R"({"model":"m","prompt":")" + std::string(4'000, 'x') + R"("})";
  std::vector<Placement> placed(8);
  for (Placement& placement : placed) {
    CHECK_EQUAL(router.placeBody(body, PromptKind::completion, &placement), PlaceStatus::placed);
    const uint64_t ended = placement.ticket;
    Placement other;
    CHECK_EQUAL(router.placeBody(body, PromptKind::completion, &other), PlaceStatus::placed);
    router.core->end(other.ticket, 0, other.promptBytes);
    CHECK(ended != other.ticket);
  }
  CHECK(placed.front().promptTokens < placed.back().promptTokens);
  CHECK(router.core->tokensPerByte("m") > 0.6);
  CHECK_EQUAL(router.core->tokensPerByte("other"), kDefault);
  Placement retried;
  CHECK(router.core->retry(placed.front().ticket, 0, &retried));
  CHECK_EQUAL(retried.promptTokens, placed.front().promptTokens);
  for (const Placement& placement : placed) router.core->end(placement.ticket, 0, 1'000);
  CHECK(router.fleet.isIdle());
}

TEST(aRequestWithoutAPromptTeachesNothing) {
  Router router(1);
  Placement bare;
  CHECK_EQUAL(router.core->placeBare("m", 0, &bare), PlaceStatus::placed);
  router.core->end(bare.ticket, 0, 1'000);
  CHECK_EQUAL(router.core->tokensPerByte("m"), kDefault);
}

}  // namespace
}  // namespace dualmap::test
