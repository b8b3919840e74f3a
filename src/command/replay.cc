#include "command/replay.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/epoch.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/status.h"
#include "command/capture_lookup.h"
#include "command/capture_reader.h"
#include "command/replay_plan.h"
#include "command/replay_player.h"
#include "command/replay_progress.h"
#include "command/replay_report.h"
#include "config/server_url.h"
#include "io/epoll_engine.h"
#include "mirror/mirrors.h"

namespace command {
namespace {

constexpr std::string_view kHelp =
    R"(pgbraid replay runs what --capture wrote on another server, in the order of its commits.

Usage: pgbraid replay DIRECTORY --to SERVER [--speed N] [--order ORDER] [--role ROLE] [--json]

  --to SERVER               where to: a URL, or libpq's "host=... dbname=..."; its user logs in for
                            every session, and its database, if given, stands for every session's
  --speed N                 N times as fast as it was; 0: as fast as the server takes it (1)
  --order causal|session    causal: after all that its client may have seen; session: after its
                            session's only (causal)
  --role client|login       client: as the user that each session was of, if the login may become
                            it; login: as the login (client)
  --progress                say on stderr how far it is, also where that is no terminal
  --dry-run                 read the capture and say what it holds; no server is asked
  --json                    print the report as JSON
  --help                    print this

Exit status: 0 everything came out as it did, 1 something did not, 2 it could not be done, 3 what
could be read came out as it did, but the capture is damaged or lacks something.

Examples:
  A copy of the database as it stood when the capture began, then the day once more:
    pgbraid replay /var/tmp/monday --to postgres://postgres@10.0.0.9/shop

  As fast as it goes, for a comparison of two versions:
    pgbraid replay /var/tmp/monday --to postgres://postgres@10.0.0.9/shop --speed 0 --json

  What is in it:
    pgbraid replay /var/tmp/monday --dry-run
)";

struct Options {
  bool help = false;
  bool json = false;
  bool dry_run = false;
  bool progress = false;
  bool as_client = true;
  double speed = 1;
  config::MirrorOrder order = config::MirrorOrder::kCausal;
  std::string folder;
  std::string to;
};

absl::Status TakeValue(std::string_view flag, std::string_view value, Options* options) {
  if (flag == "--to") {
    options->to = value;
  } else if (flag == "--speed") {
    const char* const end = value.data() + value.size();
    const auto [at, error] = std::from_chars(value.data(), end, options->speed);
    if (error != std::errc() || at != end || !(options->speed >= 0 && options->speed <= 1e6)) {
      return base::InvalidArgument("--speed is a number from 0 to 1000000");
    }
  } else if (flag == "--order" && (value == "causal" || value == "session")) {
    options->order =
        value == "causal" ? config::MirrorOrder::kCausal : config::MirrorOrder::kSession;
  } else if (flag == "--order") {
    return base::InvalidArgument("--order is causal or session");
  } else if (flag == "--role" && (value == "client" || value == "login")) {
    options->as_client = value == "client";
  } else if (flag == "--role") {
    return base::InvalidArgument("--role is client or login");
  } else {
    return base::InvalidArgument("unknown flag " + std::string(flag) +
                                 " (pgbraid replay --help lists them all)");
  }
  return absl::OkStatus();
}

bool TakeSwitch(std::string_view argument, Options* options) {
  options->help |= argument == "--help" || argument == "-h";
  options->json |= argument == "--json";
  options->dry_run |= argument == "--dry-run";
  options->progress |= argument == "--progress";
  return argument == "--help" || argument == "-h" || argument == "--json" ||
         argument == "--dry-run" || argument == "--progress";
}

absl::StatusOr<Options> ReadOptions(std::span<const std::string_view> arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (TakeSwitch(argument, &options)) {
      continue;
    }
    if (!argument.starts_with("-")) {
      if (!options.folder.empty()) {
        return base::InvalidArgument("replay takes one capture at a time");
      }
      options.folder = argument;
      continue;
    }
    const size_t equal = argument.find('=');
    if (equal == std::string_view::npos && i + 1 == arguments.size()) {
      return base::InvalidArgument(std::string(argument) +
                                   " needs a value (pgbraid replay --help lists the flags)");
    }
    const std::string_view value =
        equal == std::string_view::npos ? arguments[++i] : argument.substr(equal + 1);
    RETURN_IF_ERROR(TakeValue(argument.substr(0, equal), value, &options));
  }
  if (!options.help && (options.folder.empty() || (options.to.empty() && !options.dry_run))) {
    return base::InvalidArgument(
        "replay needs a capture and --to SERVER (pgbraid replay --help shows how)");
  }
  return options;
}

struct Reading {
  ReplayPlan plan;
  std::vector<CaptureLog> logs;
  std::string complaints;  // of a capture that is not whole
};

absl::Status Read(const std::string& folder, Reading* reading, ReplayReport* report) {
  ReplayPlan& plan = reading->plan;
  ASSIGN_OR_RETURN(const std::unique_ptr<CaptureReader> reader, CaptureReader::Open(folder));
  for (;;) {
    mirror::Captured captured;
    ASSIGN_OR_RETURN(const bool more, reader->Next(&captured));
    if (!more) {
      break;
    }
    plan.Add(std::move(captured), reader->place());
  }
  report->open_ends = reader->open_ends();
  report->damage = reader->damage();
  report->lacking = plan.lacking();
  report->order_unknown = plan.order_unknown();
  report->sessions = plan.sessions().size();
  report->units = plan.units().size();
  report->bytes = plan.bytes();
  for (const ReplayPlan::Captured& unit : plan.units()) {
    report->original.Record(absl::Nanoseconds(unit.busy));
  }
  reading->logs = reader->logs();
  reading->complaints = reader->Complaints();
  plan.Finish();
  return absl::OkStatus();
}

absl::Status Run(const Options& options, const Reading& reading, const Console& console,
                 ReplayReport* report) {
  config::Config config;
  ASSIGN_OR_RETURN(config::Server server, config::ParseServer(options.to));
  if (server.user.empty()) {
    return base::InvalidArgument("--to names no user; it logs in for every session");
  }
  server.name = "replay";
  config.primary.dbname = server.dbname;  // so every database's sessions go there
  config.mirrors.push_back(server);
  config.mirror_order = options.order;
  config.mirror_as_client = options.as_client;
  config.mirror_marker = false;  // the copy gets what was captured and nothing else
  // The player bounds what waits. Nothing is dropped for want of room: all of it might wait for one
  // COMMIT, and a credit is felt early by a part of it.
  config.limits.mirror_bytes_max = 2 * std::max<int64_t>(reading.plan.bytes(), 1 << 20);
  io::Resolver resolver;
  ASSIGN_OR_RETURN(backend::Setup setup,
                   backend::MakeSetup(config, &resolver, base::SecureRandom(32)));
  backend::Epochs epochs;
  backend::Epoch epoch;
  epochs.Publish(std::move(setup), 1, [&](int, backend::Epoch one) { epoch = std::move(one); });
  ASSIGN_OR_RETURN(const std::unique_ptr<io::EpollEngine> engine,
                   io::EpollEngine::Create(config.buffer_size));
  io::Loop loop(engine.get(), &config.limits, 1);
  mirror::Shared shared(config);
  mirror::MirrorsTools tools;
  tools.loop = &loop;
  tools.epoch = std::move(epoch);
  tools.shared = &shared;
  ReplayProgress progress(report, console, options.progress);
  CaptureLookup units(reading.logs);
  ReplayPlayer player(&loop, shared.clock(), &reading.plan, &units, report, &progress);
  tools.outcomes = &player;
  mirror::Mirrors mirrors(tools);
  io::Scope scope(&loop);
  const base::Instant start = base::Instant::MonotonicNow();
  const absl::Status played = player.Play(&mirrors, options.speed);
  scope.Spawn(mirrors.Drain(played.ok() ? base::Instant::Never() : loop.now()));
  while (scope.running() > 0) {
    loop.RunOnce(base::Instant::MonotonicNow() + absl::Milliseconds(10));
    progress.Tick(loop.now());
  }
  progress.End();
  report->took = base::Instant::MonotonicNow() - start;
  RETURN_IF_ERROR(played);
  return mirrors.reachable(0) ? absl::OkStatus() : Unreachable();
}

std::string Shown(const ReplayReport& report, const Options& options) {
  return options.json ? report.AsJson(!options.dry_run) : report.AsText(!options.dry_run);
}

Outcome Failed(const absl::Status& status) {
  return {.code = kExitFailed,
          .out = "",
          .err = "pgbraid: " + std::string(base::Message(status)) + "\n"};
}

}  // namespace

Outcome Replay(std::span<const std::string_view> arguments, const Console& console) {
  const absl::StatusOr<Options> options = ReadOptions(arguments);
  if (!options.ok()) {
    return Failed(options.status());
  }
  if (options->help) {
    return {.code = 0, .out = std::string(kHelp), .err = ""};
  }
  Reading reading;
  ReplayReport report;
  if (const absl::Status read = Read(options->folder, &reading, &report); !read.ok()) {
    return Failed(read);
  }
  if (!options->dry_run) {
    if (const absl::Status log = base::StartLog(base::LogLevel::kWarn, base::LogFormat::kLogfmt);
        !log.ok()) {
      return Failed(log);
    }
    const absl::Status ran = Run(*options, reading, console, &report);
    base::FlushLog();
    if (!ran.ok() && report.applied() + report.refused() == 0) {
      return Failed(ran);
    }
    if (!ran.ok()) {  // what was done before is worth to be told
      return {.code = kExitFailed,
              .out = Shown(report, *options),
              .err = reading.complaints + Failed(ran).err};
    }
  }
  const bool differs = !options->dry_run && !report.same();
  return {.code = differs ? kExitFound : report.whole() ? 0 : kExitNotWhole,
          .out = Shown(report, *options),
          .err = reading.complaints};
}

}  // namespace command
