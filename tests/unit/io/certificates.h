// Authority: makes certificates for a test, with OpenSSL, as files in a folder of the test's own.
#pragma once

#include <string>
#include <vector>

#include "unit/io/folder.h"

struct evp_pkey_st;
struct x509_st;

namespace io_test {

// What a certificate is to say. Valid from an hour ago until `hours` from now.
struct Wanted {
  std::string common_name;         // empty: no subject at all
  std::vector<std::string> names;  // of the subjectAltName: "DNS:db.example", "IP:127.0.0.1"
  int hours = 24;                  // negative: it has expired
  bool authority = false;
  std::string hash = "SHA256";  // "": the key is Ed25519's, which has none
};

class Authority {
 public:
  // Self-signed, or below `above`.
  Authority(const Folder* folder, const std::string& name, const Authority* above = nullptr);
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  // The PEM file of its own certificate.
  std::string file() const { return *folder_ / (name_ + ".crt"); }
  // Writes NAME.crt (with this authority's certificate behind, if it is below another) and
  // NAME.key (mode 0600).
  void Issue(const std::string& name, const Wanted& wanted) const;
  std::string Certificate(const std::string& name) const { return *folder_ / (name + ".crt"); }
  std::string Key(const std::string& name) const { return *folder_ / (name + ".key"); }

 private:
  const Folder* const folder_;
  const std::string name_;
  const bool below_;
  evp_pkey_st* key_ = nullptr;
  x509_st* certificate_ = nullptr;
};

// Puts the private key in the PEM file `path` under a passphrase.
void EncryptKey(const std::string& path, const std::string& passphrase);

}  // namespace io_test
