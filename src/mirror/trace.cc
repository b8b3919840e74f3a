#include "mirror/trace.h"

#include <algorithm>
#include <string>

#include "sql/lexer.h"
#include "sql/tokens.h"

namespace mirror {
namespace {

// The next word, in lower case: up to a space, '=', ';' or a comma; quotes are left out.
std::string NextWord(std::string_view* text) {
  constexpr std::string_view kGaps = " \t\r\n\f=";
  const size_t begin = text->find_first_not_of(kGaps);
  if (begin == std::string_view::npos) {
    *text = {};
    return {};
  }
  const size_t end = std::min(text->find_first_of(" \t\r\n\f=;,", begin), text->size());
  std::string word;
  for (const char c : text->substr(begin, end - begin)) {
    if (c != '\'' && c != '"') {
      word += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  text->remove_prefix(end);
  return word;
}

}  // namespace

std::string_view TextOf(const Step& step) {
  const std::string_view text = step.extended ? step.parse.view() : step.text.view();
  return text.substr(0, text.find('\0'));
}

PlainSet ReadSet(std::string_view text) {
  PlainSet set;
  const std::string verb = NextWord(&text);
  if (verb != "set" && verb != "reset") {
    return set;
  }
  set.name = NextWord(&text);
  if (set.name == "session") {
    set.name = NextWord(&text);
  }
  set.value = NextWord(&text);
  if (set.value == "to") {
    set.value = NextWord(&text);
  }
  return set;
}

bool AsksForLastValue(const Step& step) {
  sql::Lexer lexer(TextOf(step));
  bool named = false;
  for (sql::Token token = lexer.Next(); token.kind != sql::TokenKind::kEnd; token = lexer.Next()) {
    if (named && token.symbol == '(') {
      return true;
    }
    const std::string name = sql::IsName(token) ? sql::IdentifierName(token) : std::string();
    named = name == "currval" || name == "lastval";
  }
  return false;
}

bool EndsRole(const Step& step) {
  if (step.trace != Trace::kSet || (step.key != kRoleKey && step.key != kAuthorizationKey)) {
    return false;
  }
  const PlainSet set = ReadSet(TextOf(step));
  return step.tag == "RESET" || set.value == "default" ||
         (set.value == "none" && step.key == kRoleKey);
}

bool IsDrop(const Step& step) { return step.tag.starts_with("DROP "); }

void MarkTrace(const sql::Statement& facts, std::string_view tag, Step* step) {
  step->local = facts.local;
  step->asks = facts.session_read;
  if (facts.temporary || facts.session_lock || tag == "DO" || tag == "CALL" || tag == "LISTEN" ||
      facts.effect == sql::Effect::kUnknown) {
    step->trace = Trace::kHeld;
  } else if (facts.effect != sql::Effect::kSession || facts.local) {
    return;
  } else if (tag == "DISCARD ALL") {
    step->trace = Trace::kDiscard;
  } else if (tag == "DISCARD TEMP") {
    step->trace = Trace::kDiscardTemp;
  } else if (tag == "DISCARD PLANS" || tag == "DISCARD SEQUENCES") {
    return;
  } else if (tag == "DEALLOCATE" || tag == "DEALLOCATE ALL") {
    step->trace = Trace::kDeallocate;
    step->key = facts.name;
  } else if (tag == "PREPARE") {
    step->trace = Trace::kSet;
    step->key = "prepare " + facts.name;
  } else if (tag == "SET" || tag == "RESET") {
    const PlainSet set = ReadSet(TextOf(*step));
    step->trace = tag == "RESET" && set.name == "all" ? Trace::kReset : Trace::kSet;
    step->key = "set " + (set.name.empty() ? std::string(TextOf(*step)) : set.name);
  } else if (step->extended) {
    step->trace = Trace::kHeld;  // set_config() with parameters: its text alone says too little
  } else {
    step->trace = Trace::kSet;
    step->key = (tag == "LOAD" ? "" : "set ") + std::string(TextOf(*step));  // else set_config()
  }
  step->survives = tag == "PREPARE" || step->trace == Trace::kDeallocate;
}

}  // namespace mirror
