// Tokens and statements as one line of text, so that a table of expectations can be read.
#pragma once

#include <string>

#include "sql/lexer.h"
#include "sql/statement.h"

namespace sql_test {

inline std::string EffectName(sql::Effect effect) {
  switch (effect) {
    case sql::Effect::kControl:
      return "control";
    case sql::Effect::kDdl:
      return "ddl";
    case sql::Effect::kWrite:
      return "write";
    case sql::Effect::kSession:
      return "session";
    case sql::Effect::kExecute:
      return "execute";
    case sql::Effect::kRead:
      return "read";
    case sql::Effect::kOther:
      return "other";
    case sql::Effect::kUnknown:
      return "unknown";
  }
  return "?";
}

inline std::string ControlName(sql::Control control) {
  switch (control) {
    case sql::Control::kNone:
      return "none";
    case sql::Control::kBegin:
      return "begin";
    case sql::Control::kCommit:
      return "commit";
    case sql::Control::kRollback:
      return "rollback";
    case sql::Control::kSavepoint:
      return "savepoint";
    case sql::Control::kRelease:
      return "release";
    case sql::Control::kRollbackTo:
      return "rollback_to";
    case sql::Control::kPrepare:
      return "prepare";
    case sql::Control::kCommitPrepared:
      return "commit_prepared";
    case sql::Control::kRollbackPrepared:
      return "rollback_prepared";
  }
  return "?";
}

// "effect", then ":control", then every flag that is set, in the order of the struct.
inline std::string Describe(const sql::Statement& s) {
  std::string out = EffectName(s.effect);
  if (s.control != sql::Control::kNone) out += ":" + ControlName(s.control);
  if (s.prepared != sql::Effect::kUnknown) out += " prepared=" + EffectName(s.prepared);
  if (s.empty) out += " empty";
  if (s.several) out += " several";
  if (s.copy_in) out += " copy_in";
  if (s.temporary) out += " temporary";
  if (s.session_lock) out += " session_lock";
  if (s.locking) out += " locking";
  if (s.session_read) out += " session_read";
  if (s.local) out += " local";
  if (s.read_only) out += " read_only";
  if (s.chain) out += " chain";
  if (s.commits) out += " commits";
  if (s.may_commit) out += " may_commit";
  if (s.cursor) out += " cursor";
  if (!s.name.empty()) out += " name=" + s.name;
  return out;
}

inline std::string KindName(const sql::Token& token) {
  switch (token.kind) {
    case sql::TokenKind::kEnd:
      return "end";
    case sql::TokenKind::kIdentifier:
      return "id";
    case sql::TokenKind::kQuotedIdentifier:
      return "quoted";
    case sql::TokenKind::kString:
      return "str";
    case sql::TokenKind::kBitString:
      return "bits";
    case sql::TokenKind::kNumber:
      return "num";
    case sql::TokenKind::kParameter:
      return "param";
    case sql::TokenKind::kOperator:
      return "op";
    case sql::TokenKind::kSymbol:
      return "sym";
    case sql::TokenKind::kOther:
      return "other";
  }
  return "?";
}

// "kind<text>" per token, "!" behind what is not terminated; kEnd only if it is not.
inline std::string DescribeTokens(const std::string& text, sql::LexOptions options = {}) {
  std::string out;
  sql::Lexer lexer(text, options);
  for (;;) {
    const sql::Token token = lexer.Next();
    const bool end = token.kind == sql::TokenKind::kEnd;
    if (end && token.terminated) return out;
    if (!out.empty()) out += ' ';
    out += KindName(token) + "<" + std::string(token.text) + ">" + (token.terminated ? "" : "!");
    if (end) return out;
  }
}

}  // namespace sql_test
