// MayHaveEffects: looks for the few bytes without which a text has no effects, and lexes nothing.
// Strings and comments are searched like everything else, which can only make it say true.
#include <algorithm>
#include <array>
#include <cstring>

#include "sql/session_calls.h"
#include "sql/session_effects.h"
#include "sql/words.h"

namespace sql {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
bool IsNameByte(char c) {
  const char lower = Lower(c);
  return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

const char* Find(const char* from, const char* end, char wanted) {
  if (from == end) return end;
  const void* found = std::memchr(from, wanted, static_cast<size_t>(end - from));
  return found != nullptr ? static_cast<const char*>(found) : end;
}

// Statements of which only what they call, and what PossibleTargets looks for, can have an effect.
bool IsPlain(Word head) {
  switch (head) {
    case Word::kSelect:
    case Word::kInsert:
    case Word::kUpdate:
    case Word::kDelete:
    case Word::kWith:
    case Word::kValues:
    case Word::kMerge:
    case Word::kBegin:
    case Word::kStart:
    case Word::kCommit:
    case Word::kEnd:
    case Word::kRollback:
    case Word::kAbort:
    case Word::kSavepoint:
    case Word::kRelease:
    case Word::kShow:
    case Word::kFetch:
      return true;
    default:
      return false;
  }
}

// A lower-case word within text of any case: compares only where the last byte could end it.
class Needle {
 public:
  explicit constexpr Needle(std::string_view word) : word_(word) {
    for (uint8_t& step : steps_) step = static_cast<uint8_t>(word.size());
    for (size_t i = 0; i + 1 < word.size(); ++i) {
      const auto step = static_cast<uint8_t>(word.size() - 1 - i);
      steps_[static_cast<unsigned char>(word[i])] = step;
      if (word[i] >= 'a' && word[i] <= 'z') {
        steps_[static_cast<unsigned char>(word[i] & ~0x20)] = step;
      }
    }
  }

  bool IsIn(std::string_view text) const {
    const size_t last = word_.size() - 1;
    for (size_t at = last; at < text.size(); at += steps_[static_cast<unsigned char>(text[at])]) {
      if (Lower(text[at]) == word_[last] && Matches(text.data() + at - last)) return true;
    }
    return false;
  }

 private:
  bool Matches(const char* text) const {
    return std::equal(word_.begin(), word_.end(), text,
                      [](char wanted, char c) { return Lower(c) == wanted; });
  }

  std::string_view word_;
  std::array<uint8_t, 256> steps_{};
};
constexpr Needle kTemp("temp");
constexpr Needle kSettingsView("pg_settings");

// SELECT INTO TEMP or pg_temp.x, UPDATE pg_settings.
bool PossibleTargets(Word head, std::string_view text) {
  const bool with = head == Word::kWith;
  return ((head == Word::kSelect || with) && kTemp.IsIn(text)) ||
         ((head == Word::kUpdate || with) && kSettingsView.IsIn(text));
}

// U&"...", which can spell any name.
bool HasUnicodeName(const char* at, const char* end) {
  while ((at = Find(at, end, '&')) != end) {
    if (++at != end && *at == '"') return true;
  }
  return false;
}

bool MoreThanOne(const char* at, const char* end) {
  at = Find(at, end, ';');
  return !std::all_of(at, end, [](char c) { return c == ';' || IsSpace(c); });
}

bool IsCallName(const char* begin, const char* end) {
  const auto size = static_cast<size_t>(end - begin);
  if (size > kSessionCallBytesMax) return false;
  char folded[kSessionCallBytesMax];
  std::transform(begin, end, folded, Lower);
  return FindSessionCall(std::string_view(folded, size)) != nullptr;
}

// True if a -- is in the line that ends at `end`.
bool LineHasComment(const char* begin, const char* end) {
  for (const char* at = end; at - begin >= 2 && at[-1] != '\n' && at[-1] != '\r'; --at) {
    if (at[-1] == '-' && at[-2] == '-') return true;
  }
  return false;
}

// `open` is a bracket: is there the name of a function with an effect before it, or a comment that
// may hide one?
bool MayCall(const char* begin, const char* open) {
  const char* end = open;
  bool line_ended = false;
  while (end != begin && IsSpace(end[-1])) {
    --end;
    line_ended = line_ended || *end == '\n' || *end == '\r';
  }
  if (end == begin) return false;
  if (line_ended && LineHasComment(begin, end)) return true;
  const char last = end[-1];
  if (last == '/') return end - begin >= 2 && end[-2] == '*';
  const char* name = end - 1;
  if (last == '"') {
    while (name != begin && name[-1] != '"') --name;
    return IsCallName(name, end - 1);
  }
  if (!MayEndSessionCall(Lower(last))) return false;
  // Joined to a number, a parameter or a $tag$ string, a name has no beginning of its own.
  bool joined = false;
  while (name != begin && IsNameByte(name[-1])) {
    --name;
    joined = joined || *name == '$';
  }
  joined = joined || (*name >= '0' && *name <= '9');
  return joined || IsCallName(name, end);
}

}  // namespace

bool MayHaveEffects(std::string_view text) {
  const char* const end = text.data() + text.size();
  const char* head = text.data();
  while (head != end && IsSpace(*head)) ++head;
  const char* rest = head;
  while (rest != end && IsNameByte(*rest)) ++rest;
  const Word word = FindWord(std::string_view(head, static_cast<size_t>(rest - head)));
  if (!IsPlain(word) || MoreThanOne(rest, end) || HasUnicodeName(rest, end) ||
      PossibleTargets(word, std::string_view(rest, static_cast<size_t>(end - rest)))) {
    return true;
  }
  for (const char* open = rest; (open = Find(open, end, '(')) != end; ++open) {
    if (MayCall(rest, open)) return true;
  }
  return false;
}

}  // namespace sql
