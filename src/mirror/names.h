// Names: what is known by the name of a statement or portal. Nearly all use the unnamed one, which
// has a place of its own: it costs no hash, and no memory beyond it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/keyed_hash.h"

namespace mirror {

template <typename T>
class Names {
 public:
  // Null: there is none. Good until it is erased.
  T* Find(std::string_view name) {
    if (name.empty()) {
      return unnamed_.has_value() ? &*unnamed_ : nullptr;
    }
    if (named_.empty()) {
      return nullptr;
    }
    const auto found = named_.find(name);
    return found == named_.end() ? nullptr : &found->second;
  }
  const T* Find(std::string_view name) const { return const_cast<Names*>(this)->Find(name); }
  bool Contains(std::string_view name) const { return Find(name) != nullptr; }

  // Makes one that is not there.
  T& operator[](const std::string& name) {
    if (!name.empty()) {
      return named_[name];
    }
    return unnamed_.has_value() ? *unnamed_ : unnamed_.emplace();
  }
  void Erase(const std::string& name) {
    if (name.empty()) {
      unnamed_.reset();
    } else if (!named_.empty()) {
      named_.erase(name);
    }
  }
  void Clear() {
    unnamed_.reset();
    named_.clear();
  }

 private:
  std::optional<T> unnamed_;
  base::NameTable<T> named_;
};

}  // namespace mirror
