// Contexts: what a file must be, and what the error says when it is not.
#include "io/tls_context.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/status.h"
#include "unit/io/certificates.h"

namespace io_test {
namespace {

class TlsContextTest : public testing::Test {
 protected:
  TlsContextTest() : authority_(&folder_, "authority") {
    authority_.Issue("server", {.common_name = "db.example", .names = {"DNS:db.example"}});
    files_ = {.certificate = authority_.Certificate("server"),
              .key = authority_.Key("server"),
              .client_ca = ""};
  }
  std::string Error() const {
    const auto made = io::TlsContext::ForServer(files_);
    return made.ok() ? "" : std::string(base::Message(made.status()));
  }
  static bool Ends(const std::string& text, const std::string& end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
  }

  Folder folder_;
  Authority authority_;
  io::TlsServerFiles files_;
};

TEST_F(TlsContextTest, SoundFilesMakeOneWithoutWarnings) {
  const auto made = io::TlsContext::ForServer(files_);
  ASSERT_TRUE(made.ok()) << base::Message(made.status());
  EXPECT_TRUE((*made)->warnings().empty());
  EXPECT_FALSE((*made)->verifies());
  files_.client_ca = authority_.file();
  const auto verifying = io::TlsContext::ForServer(files_);
  ASSERT_TRUE(verifying.ok()) << base::Message(verifying.status());
  EXPECT_TRUE((*verifying)->verifies());
}

TEST_F(TlsContextTest, AMissingFileIsNamed) {
  files_.certificate = folder_ / "none.crt";
  EXPECT_EQ(Error(), "certificate file \"" + files_.certificate + "\": No such file or directory");
  files_.certificate = authority_.Certificate("server");
  files_.key = folder_ / "none.key";
  EXPECT_EQ(Error(), "private key file \"" + files_.key + "\": No such file or directory");
  files_.key = authority_.Key("server");
  files_.client_ca = folder_ / "none.ca";
  EXPECT_EQ(Error(), "CA file \"" + files_.client_ca + "\": No such file or directory");
}

TEST_F(TlsContextTest, AFileWithoutWhatItShouldHoldIsNamed) {
  WriteFile(folder_ / "empty", "");
  files_.client_ca = folder_ / "empty";
  EXPECT_EQ(Error(), "CA file \"" + files_.client_ca + "\" holds no certificate");
  files_.certificate = folder_ / "empty";
  EXPECT_EQ(Error(), "certificate file \"" + files_.certificate + "\" holds no certificate");
  files_.certificate = authority_.Certificate("server");
  files_.key = folder_ / "empty";
  chmod(files_.key.c_str(), 0600);
  EXPECT_NE(Error().find("\" holds no private key"), std::string::npos) << Error();
}

TEST_F(TlsContextTest, AKeyOfAnotherCertificateIsRefused) {
  authority_.Issue("other", {.common_name = "other", .names = {}});
  files_.key = authority_.Key("other");
  EXPECT_EQ(Error(), "private key file \"" + files_.key +
                         "\" does not belong to certificate file \"" + files_.certificate + "\"");
}

// The tests run as root, whose key a group may read, as PostgreSQL allows.
TEST_F(TlsContextTest, AKeyThatOthersCanReadIsRefused) {
  for (const mode_t mode : {0600, 0400}) {
    chmod(files_.key.c_str(), mode);
    EXPECT_EQ(Error(), "") << std::oct << mode;
  }
  struct stat found {};
  ASSERT_EQ(stat(files_.key.c_str(), &found), 0);
  const bool roots = found.st_uid == 0;
  chmod(files_.key.c_str(), 0640);
  EXPECT_EQ(Error().empty(), roots);
  for (const mode_t mode : {0604, 0660, 0650, 0644, 0777}) {
    chmod(files_.key.c_str(), mode);
    EXPECT_NE(Error().find("can be read by others"), std::string::npos) << std::oct << mode;
  }
}

TEST_F(TlsContextTest, APassphraseIsNotAskedFor) {
  EncryptKey(files_.key, "secret");
  EXPECT_NE(Error().find("without a passphrase"), std::string::npos) << Error();
}

TEST_F(TlsContextTest, AnExpiredCertificateIsAWarning) {
  authority_.Issue("old", {.common_name = "db.example", .names = {}, .hours = -1});
  files_ = {
      .certificate = authority_.Certificate("old"), .key = authority_.Key("old"), .client_ca = ""};
  const auto made = io::TlsContext::ForServer(files_);
  ASSERT_TRUE(made.ok()) << base::Message(made.status());
  ASSERT_EQ((*made)->warnings().size(), 1u);
  EXPECT_TRUE(Ends((*made)->warnings()[0], "has expired")) << (*made)->warnings()[0];
}

TEST_F(TlsContextTest, AClientNeedsNoFileAtAll) {
  const auto bare = io::TlsContext::ForClient({.ca = "", .certificate = "", .key = ""});
  ASSERT_TRUE(bare.ok());
  EXPECT_FALSE((*bare)->verifies());
  const auto system = io::TlsContext::ForClient({.ca = "system", .certificate = "", .key = ""});
  ASSERT_TRUE(system.ok());
  EXPECT_TRUE((*system)->verifies());
  const auto missing =
      io::TlsContext::ForClient({.ca = folder_ / "none", .certificate = "", .key = ""});
  EXPECT_FALSE(missing.ok());
}

}  // namespace
}  // namespace io_test
