#include "unit/io/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdio>

#include "base/check.h"

namespace io_test {
namespace {

void AddExtension(X509* to, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  CHECK(extension != nullptr);
  CHECK(X509_add_ext(to, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

EVP_PKEY* NewKey(bool ed25519) {
  EVP_PKEY* const key =
      ed25519 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519") : EVP_EC_gen("P-256");
  CHECK(key != nullptr);
  return key;
}

// Signed by `signer`; a null `issuer` signs itself.
X509* NewCertificate(const Wanted& wanted, EVP_PKEY* key, X509* issuer, EVP_PKEY* signer) {
  static std::atomic<long> serial{1};
  X509* const made = X509_new();
  CHECK(X509_set_version(made, X509_VERSION_3) == 1);
  ASN1_INTEGER_set(X509_get_serialNumber(made), serial++);
  X509_gmtime_adj(X509_getm_notBefore(made), -2 * 3600 + (wanted.hours < 0 ? -7200 : 0));
  X509_gmtime_adj(X509_getm_notAfter(made), wanted.hours * 3600L);
  X509_NAME* const subject = X509_get_subject_name(made);
  if (!wanted.common_name.empty()) {
    CHECK(X509_NAME_add_entry_by_NID(
              subject, NID_commonName, MBSTRING_UTF8,
              reinterpret_cast<const unsigned char*>(wanted.common_name.data()),
              static_cast<int>(wanted.common_name.size()), -1, 0) == 1);
  }
  X509* const by = issuer == nullptr ? made : issuer;
  CHECK(X509_set_issuer_name(made, X509_get_subject_name(by)) == 1);
  CHECK(X509_set_pubkey(made, key) == 1);
  AddExtension(made, by, NID_basic_constraints, wanted.authority ? "critical,CA:TRUE" : "CA:FALSE");
  std::string names;
  for (const std::string& name : wanted.names) {
    names += (names.empty() ? "" : ",") + name;
  }
  if (!names.empty()) {
    AddExtension(made, by, NID_subject_alt_name, names);
  }
  const bool bare = EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519;
  CHECK(X509_sign(made, signer, bare ? nullptr : EVP_get_digestbyname(wanted.hash.c_str())) > 0);
  return made;
}

void WriteCertificates(const std::string& path, const std::vector<X509*>& certificates) {
  std::FILE* const file = std::fopen(path.c_str(), "w");
  CHECK(file != nullptr);
  for (X509* const certificate : certificates) {
    CHECK(PEM_write_X509(file, certificate) == 1);
  }
  std::fclose(file);
}

}  // namespace

Authority::Authority(const Folder* folder, const std::string& name, const Authority* above)
    : folder_(folder), name_(name), below_(above != nullptr), key_(NewKey(false)) {
  const Wanted wanted{.common_name = name, .names = {}, .authority = true};
  certificate_ = above == nullptr ? NewCertificate(wanted, key_, nullptr, key_)
                                  : NewCertificate(wanted, key_, above->certificate_, above->key_);
  WriteCertificates(file(), {certificate_});
}

Authority::~Authority() {
  X509_free(certificate_);
  EVP_PKEY_free(key_);
}

void Authority::Issue(const std::string& name, const Wanted& wanted) const {
  const bool self_signed = wanted.hash.empty();  // Ed25519 signs with its own key
  EVP_PKEY* const key = NewKey(self_signed);
  X509* const made = self_signed ? NewCertificate(wanted, key, nullptr, key)
                                 : NewCertificate(wanted, key, certificate_, key_);
  std::vector<X509*> chain = {made};
  if (below_) {
    chain.push_back(certificate_);
  }
  WriteCertificates(Certificate(name), chain);
  std::FILE* const file = std::fopen(Key(name).c_str(), "w");
  CHECK(file != nullptr);
  CHECK(chmod(Key(name).c_str(), 0600) == 0);
  CHECK(PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  std::fclose(file);
  X509_free(made);
  EVP_PKEY_free(key);
}

void EncryptKey(const std::string& path, const std::string& passphrase) {
  std::FILE* file = std::fopen(path.c_str(), "r");
  CHECK(file != nullptr);
  EVP_PKEY* const key = PEM_read_PrivateKey(file, nullptr, nullptr, nullptr);
  std::fclose(file);
  CHECK(key != nullptr);
  file = std::fopen(path.c_str(), "w");
  CHECK(PEM_write_PKCS8PrivateKey(file, key, EVP_aes_256_cbc(), passphrase.c_str(),
                                  static_cast<int>(passphrase.size()), nullptr, nullptr) == 1);
  std::fclose(file);
  EVP_PKEY_free(key);
}

}  // namespace io_test
