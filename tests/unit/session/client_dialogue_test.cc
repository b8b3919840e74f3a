// One exchange with a client: every stored form against every exchange, and answers that are wrong.
#include "session/client_dialogue.h"

#include <gtest/gtest.h>

#include "pg/builders.h"
#include "pg/views.h"
#include "support/pg_messages.h"

namespace session {
namespace {

using Step = ClientDialogue::Step;

constexpr std::string_view kSalt = "\x01\x02\x03\x04";

pg::Secret Stored(std::string_view text) { return *pg::ParseSecret(text); }

pg::Secret Verifier(std::string_view password) {
  pg::Secret secret;
  secret.kind = pg::SecretKind::kScram;
  secret.verifier = pg::VerifierOf("saltsaltsaltsalt", 4096,
                                   pg::DeriveScramKeys(password, "saltsaltsaltsalt", 4096));
  return secret;
}

ClientDialogue::Facts FactsOf(Exchange exchange, pg::Secret secret, bool doomed = false) {
  ClientDialogue::Facts facts;
  facts.exchange = exchange;
  facts.user = "alice";
  facts.secret = std::move(secret);
  facts.doomed = doomed;
  facts.random = exchange == Exchange::kMd5 ? kSalt : "servernonce";
  return facts;
}

std::string SaslInitial(std::string_view mechanism, std::string_view response) {
  std::string frame;
  EXPECT_TRUE(pg::AppendSaslInitialResponse(&frame, mechanism, response));
  return frame.substr(5);
}

// A client with `password`; what it is told in the end: "in", or the refusal.
std::string Outcome(ClientDialogue* dialogue, Exchange exchange, std::string_view password) {
  std::string request;
  EXPECT_EQ(dialogue->Begin(&request), Step::kAsk);
  std::string answer;
  Step step = Step::kRefused;
  if (exchange == Exchange::kScram) {
    pg::ScramClient client("", "clientnonce");
    step = dialogue->OnAnswer(SaslInitial(pg::kScramSha256, client.First()), &answer);
    EXPECT_EQ(step, Step::kAsk);
    const auto asked = client.OnServerFirst(pg::ReadAuthentication(answer.substr(5))->data);
    EXPECT_TRUE(asked.ok());
    answer.clear();
    step = dialogue->OnAnswer(
        client.Final(pg::DeriveScramKeys(password, asked->salt, asked->iterations)), &answer);
    if (step == Step::kIn) {
      EXPECT_TRUE(client.Verify(pg::ReadAuthentication(answer.substr(5))->data).ok());
    }
  } else {
    const std::string text = exchange == Exchange::kMd5
                                 ? pg::Md5Response(pg::Md5Secret("alice", password), kSalt)
                                 : std::string(password);
    step = dialogue->OnAnswer(support::CString(text), &answer);
  }
  if (step == Step::kDerive) {
    step = dialogue->Derived(pg::DeriveScramKeys(
        dialogue->password(), dialogue->challenge().salt, dialogue->challenge().iterations));
  }
  EXPECT_TRUE(step == Step::kIn || answer.empty());
  return step == Step::kIn ? "in"
                           : dialogue->refusal().sqlstate + " " + dialogue->refusal().message;
}

struct Pair {
  Exchange exchange;
  pg::Secret secret;
};

std::vector<Pair> EveryPair() {
  const pg::Secret plain = Stored("pencil");
  const pg::Secret md5 = Stored(pg::Md5Secret("alice", "pencil"));
  const pg::Secret scram = Verifier("pencil");
  return {{Exchange::kScram, scram},     {Exchange::kMd5, plain},
          {Exchange::kMd5, md5},         {Exchange::kCleartext, plain},
          {Exchange::kCleartext, md5},   {Exchange::kCleartext, scram}};
}

TEST(ClientDialogue, C3_EveryPairLetsTheRightPasswordInAndNoOther) {
  const std::string wrong = "28P01 password authentication failed for user \"alice\"";
  for (const Pair& pair : EveryPair()) {
    ClientDialogue right(FactsOf(pair.exchange, pair.secret));
    EXPECT_EQ(Outcome(&right, pair.exchange, "pencil"), "in");
    EXPECT_FALSE(right.credential().empty());
    ClientDialogue other(FactsOf(pair.exchange, pair.secret));
    EXPECT_EQ(Outcome(&other, pair.exchange, "pencil2"), wrong);
    EXPECT_TRUE(other.credential().empty());
  }
}

// Even if a stand-in's secret were guessed.
TEST(ClientDialogue, A13_TheDoomedNeverComeIn) {
  for (const Pair& pair : EveryPair()) {
    ClientDialogue doomed(FactsOf(pair.exchange, pair.secret, true));
    EXPECT_EQ(Outcome(&doomed, pair.exchange, "pencil"),
              "28P01 password authentication failed for user \"alice\"");
    EXPECT_TRUE(doomed.credential().empty());
  }
}

TEST(ClientDialogue, WhatIsLearnedForTheServersLogin) {
  ClientDialogue scram(FactsOf(Exchange::kScram, Verifier("pencil")));
  EXPECT_EQ(Outcome(&scram, Exchange::kScram, "pencil"), "in");
  const pg::ScramKeys keys = pg::DeriveScramKeys("pencil", "saltsaltsaltsalt", 4096);
  EXPECT_EQ(scram.credential().scram->keys.client_key, keys.client_key);
  EXPECT_EQ(scram.credential().scram->keys.server_key, keys.server_key);
  EXPECT_EQ(scram.credential().scram->of.salt, "saltsaltsaltsalt");
  ClientDialogue md5(FactsOf(Exchange::kMd5, Stored("pencil")));
  EXPECT_EQ(Outcome(&md5, Exchange::kMd5, "pencil"), "in");
  EXPECT_EQ(md5.credential().md5_secret, pg::Md5Secret("alice", "pencil"));
  ClientDialogue clear(FactsOf(Exchange::kCleartext, Verifier("pencil")));
  EXPECT_EQ(Outcome(&clear, Exchange::kCleartext, "pencil"), "in");
  EXPECT_EQ(clear.credential().password, "pencil");
}

TEST(ClientDialogue, C4_AnswersThatAreNotLaidOutAsTheyShould) {
  std::string request;
  for (const std::string& bad :
       {std::string(), std::string("SCRAM-SHA-256"),
        std::string("SCRAM-SHA-256\0\0\0\0\x09n,,", 21),
        support::CString("SCRAM-SHA-256") + support::Be32(0x7fffffff) + "n,,n=,r=x"}) {
    ClientDialogue dialogue(FactsOf(Exchange::kScram, Verifier("pencil")));
    EXPECT_EQ(dialogue.Begin(&request), Step::kAsk);
    EXPECT_EQ(dialogue.OnAnswer(bad, &request), Step::kRefused);
    EXPECT_EQ(dialogue.refusal().sqlstate, "08P01");
  }
  for (const std::string& bad : {std::string(), std::string("pencil"), std::string("a\0b\0", 4)}) {
    ClientDialogue clear(FactsOf(Exchange::kCleartext, Stored("pencil")));
    EXPECT_EQ(clear.Begin(&request), Step::kAsk);
    EXPECT_EQ(clear.OnAnswer(bad, &request), Step::kRefused);
    EXPECT_EQ(clear.refusal().sqlstate, "08P01");
    ClientDialogue md5(FactsOf(Exchange::kMd5, Stored("pencil")));
    EXPECT_EQ(md5.Begin(&request), Step::kAsk);
    EXPECT_EQ(md5.OnAnswer(bad, &request), Step::kRefused);
    EXPECT_EQ(md5.refusal().sqlstate, "08P01");
  }
}

TEST(ClientDialogue, C6_AStoredSecretOfManyIterationsIsNotDerived) {
  pg::Secret secret = Verifier("pencil");
  secret.verifier.iterations = pg::kScramIterationsMax + 1;
  ClientDialogue dialogue(FactsOf(Exchange::kCleartext, std::move(secret)));
  std::string request;
  EXPECT_EQ(dialogue.Begin(&request), Step::kAsk);
  EXPECT_EQ(dialogue.OnAnswer(support::CString("pencil"), &request), Step::kRefused);
  EXPECT_EQ(dialogue.refusal().sqlstate, "28P01");
}

TEST(ClientDialogue, C9_PlusIsOfferedOnlyWhereItCanBe) {
  std::string plain, bound;
  ClientDialogue without(FactsOf(Exchange::kScram, Verifier("pencil")));
  EXPECT_EQ(without.Begin(&plain), Step::kAsk);
  EXPECT_EQ(plain.find("PLUS"), std::string::npos);
  ClientDialogue::Facts facts = FactsOf(Exchange::kScram, Verifier("pencil"));
  facts.binding = "0123456789abcdef0123456789abcdef";
  ClientDialogue with(facts);
  EXPECT_EQ(with.Begin(&bound), Step::kAsk);
  EXPECT_NE(bound.find("SCRAM-SHA-256-PLUS"), std::string::npos);
  std::string answer;
  EXPECT_EQ(with.OnAnswer(SaslInitial(pg::kScramSha256, "y,,n=,r=abc"), &answer), Step::kRefused);
  EXPECT_EQ(with.refusal().sqlstate, "28000");
}

}  // namespace
}  // namespace session
