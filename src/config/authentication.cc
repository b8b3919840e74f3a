#include "config/authentication.h"

#include <algorithm>

#include "base/status.h"
#include "config/secret_file.h"

namespace config {
namespace {

absl::Status At(std::string_view setting, const absl::Status& status) {
  return status.ok() ? status
                     : base::InvalidArgument(Cat({setting, ": ", base::Message(status)}));
}

absl::Status ReadUsers(Authentication* to) {
  ASSIGN_OR_RETURN(const std::string text, ReadSecretFile(to->users_file, FilePrivacy::kOwn));
  ASSIGN_OR_RETURN(to->users, ParseUsers(text, to->users_file));
  return absl::OkStatus();
}

absl::Status ReadHba(Authentication* to) {
  ASSIGN_OR_RETURN(const std::string text, ReadSecretFile(to->hba_file, FilePrivacy::kAny));
  ASSIGN_OR_RETURN(Hba hba, Hba::Parse(text, to->hba_file, OwnAddresses()));
  to->hba = std::move(hba);
  return absl::OkStatus();
}

absl::Status ReadIdent(Authentication* to) {
  ASSIGN_OR_RETURN(const std::string text, ReadSecretFile(to->ident_file, FilePrivacy::kAny));
  ASSIGN_OR_RETURN(to->ident, IdentMaps::Parse(text, to->ident_file));
  return absl::OkStatus();
}

bool NeedsSecret(AuthMethod method) {
  return method == AuthMethod::kScramSha256 || method == AuthMethod::kMd5 ||
         method == AuthMethod::kPassword;
}

bool TrustsStrangers(const HbaRule& rule) {
  return rule.method == AuthMethod::kTrust && rule.client_cert == ClientCert::kAny &&
         rule.connection != HbaConnection::kLocal &&
         (rule.every_address ||
          !std::all_of(rule.addresses.begin(), rule.addresses.end(),
                       [](const NetRange& range) { return range.IsLoopback(); }));
}

// A password is asked for somewhere, and there must be something to check it against.
absl::Status CheckSecrets(const Authentication& authentication,
                          const std::vector<Service>& services) {
  if (!authentication.users_file.empty() || !authentication.auth_user.empty()) {
    return absl::OkStatus();
  }
  const bool asks = authentication.hba.has_value()
                        ? std::any_of(authentication.hba->rules().begin(),
                                      authentication.hba->rules().end(),
                                      [](const HbaRule& rule) { return NeedsSecret(rule.method); })
                        : NeedsSecret(authentication.default_method());
  for (const Service& service : services) {
    const Server& primary = service.primary;
    const bool self = !primary.user.empty() || authentication.configured();
    if (self && asks && (primary.user.empty() || primary.password.empty())) {
      return base::InvalidArgument(
          Cat({primary.origin,
               primary.user.empty() ? ": names no user" : ": names a user without a password",
               ", so there is nothing to check a client's password against; give users-file, "
               "auth-user, or both user and password in the server"}));
    }
  }
  return absl::OkStatus();
}

// `behind_proxy`: who listens on loopback only is reached from elsewhere all the same.
absl::Status CheckTrust(const Authentication& authentication, const std::vector<Endpoint>& listen,
                        bool behind_proxy) {
  const bool loopback =
      !behind_proxy && std::all_of(listen.begin(), listen.end(), [](const Endpoint& endpoint) {
        return endpoint.IsLoopback();
      });
  if (loopback || authentication.insecure_trust) {
    return absl::OkStatus();
  }
  if (authentication.method == AuthMethod::kTrust) {
    return base::InvalidArgument(
        "auth: trust lets in whoever can reach pgbraid, and it listens on addresses other than "
        "loopback, or behind proxy-protocol-from; if that is meant, add --insecure-trust");
  }
  if (!authentication.hba.has_value()) {
    return absl::OkStatus();
  }
  for (const HbaRule& rule : authentication.hba->rules()) {
    if (TrustsStrangers(rule)) {
      return AtLine(authentication.hba_file, rule.line,
                    "trust lets in whoever comes from these addresses; if that is meant, add "
                    "--insecure-trust");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMaps(const Authentication& authentication) {
  if (!authentication.hba.has_value()) {
    return absl::OkStatus();
  }
  for (const HbaRule& rule : authentication.hba->rules()) {
    if (!rule.map.empty() && !authentication.ident.Has(rule.map)) {
      return AtLine(authentication.hba_file, rule.line,
                    "has map= with a map that the ident-file does not have");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadAuthenticationFiles(Authentication* authentication) {
  if (!authentication->users_file.empty()) {
    RETURN_IF_ERROR(At("users-file", ReadUsers(authentication)));
  }
  if (!authentication->hba_file.empty()) {
    RETURN_IF_ERROR(At("hba-file", ReadHba(authentication)));
  }
  if (!authentication->ident_file.empty()) {
    RETURN_IF_ERROR(At("ident-file", ReadIdent(authentication)));
  }
  return absl::OkStatus();
}

absl::Status CheckAuthentication(const Authentication& authentication,
                                 const std::vector<Endpoint>& listen,
                                 const std::vector<Service>& services, bool behind_proxy) {
  if (!authentication.hba_file.empty() && authentication.method.has_value()) {
    return base::InvalidArgument("auth: hba-file is given too, and its rules say the method");
  }
  if (!authentication.ident_file.empty() && authentication.hba_file.empty()) {
    return base::InvalidArgument("ident-file: is used by rules with map=, and needs hba-file");
  }
  if (authentication.auth_user.empty() &&
      (authentication.auth_query_given || !authentication.auth_password.empty() ||
       !authentication.auth_dbname.empty())) {
    return base::InvalidArgument(
        "auth-query, auth-password and auth-dbname need auth-user, the user who asks");
  }
  RETURN_IF_ERROR(CheckTrust(authentication, listen, behind_proxy));
  RETURN_IF_ERROR(CheckMaps(authentication));
  return CheckSecrets(authentication, services);
}

std::string Describe(const Authentication& authentication) {
  if (!authentication.configured()) {
    return "";
  }
  const bool hba = !authentication.hba_file.empty();
  std::string text = Cat({" auth=", hba ? "hba" : Name(authentication.default_method())});
  if (hba) {
    text += Cat({" hba_file=", authentication.hba_file});
  }
  if (!authentication.users_file.empty()) {
    text += Cat({" users_file=", authentication.users_file,
                 " users=", std::to_string(authentication.users.size())});
  }
  if (!authentication.ident_file.empty()) {
    text += Cat({" ident_file=", authentication.ident_file});
  }
  if (!authentication.auth_user.empty()) {
    text += Cat({" auth_user=", authentication.auth_user,
                 " auth_query_max_age=", DurationText(authentication.auth_query_max_age)});
  }
  return text;
}

}  // namespace config
