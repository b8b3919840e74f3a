"""The historical bugs that a build with -Dfault_points=true can put back, and what finds each.

A name is the row of the reliability catalogue and a few words; the same name stands in the source,
HISTORICAL_BUG("..."), where the defence is. `whose` is who had it. `found_by` is a test program
and a filter of GoogleTest, or a file of tests/integration and a test in it.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Bug:
    name: str
    whose: str
    found_by: tuple  # ("pg_test", "Suite.Test") or ("test_x.py", "test_name[parameters]")

    @property
    def row(self):
        return self.name.split("-")[0].upper()


TLS = "test_tls_attacks.py"
LEAKS = "test_pool_leaks.py"

BUGS = [
    Bug("a1-start-up-of-any-length", "PgBouncer, CVE-2026-6668 and CVE-2026-107348",
        ("pg_test", "Startup.A1_DeclaredLengthsOutOfRangeAreRefusedAtOnce")),
    Bug("a5-requests-without-end", "PostgreSQL, CVE-2026-6479",
        ("session_test", "Session.A5_SslRequestIsAnsweredOnce")),
    Bug("a6-any-message-is-an-answer", "PgBouncer until 1.5.5, CVE-2015-4054",
        ("session_test", "Authenticator.A6_ARightPasswordInAnotherMessageIsNoAnswer")),
    Bug("a8-nul-in-a-start-up-value", "pgx until 5.10",
        ("pg_test", "Builders.A8_StartupValuesCannotSmuggleParameters")),
    Bug("a13-unknown-user-is-told-at-once", "PgBouncer until 1.15",
        ("session_test", "Authenticator.A13_AnUnknownUserLooksLikeAWrongPassword")),

    Bug("b1-bytes-before-the-handshake",
        "PostgreSQL, CVE-2021-23214; PgBouncer, CVE-2021-3935; Odyssey, CVE-2021-43766; Pgpool",
        (TLS, "test_b1_bytes_behind_the_request_end_the_connection[io_uring]")),
    Bug("b2-bytes-behind-the-answer",
        "libpq, CVE-2021-23222; Odyssey, CVE-2021-43767; PostgresNIO; Pgpool",
        (TLS, "test_b2_bytes_behind_the_servers_answer_are_fatal[io_uring-prefer]")),
    Bug("b4-require-falls-back", "MySQL's client, CVE-2015-3152",
        (TLS, "test_b4_a_mode_that_demands_tls_never_falls_back[io_uring-require]")),
    Bug("b5-name-is-not-compared", "pgjdbc, CVE-2018-10936; PgBouncer #1303",
        ("io_test", "*/TlsHandshakeTest.B5TheCertificateMustBeForTheName/*")),
    Bug("b6-cancel-in-the-clear", "pgx until 5.10; libpq, CVE-2020-25694",
        (TLS, "test_b6_a_cancel_is_encrypted_like_its_session[io_uring]")),
    Bug("b7-no-certificate-will-do", "PgBouncer 1.7.0, #104",
        ("io_test", "*/TlsHandshakeTest.B7ClientCertificates/*")),
    Bug("b12-errors-of-another-connection", "ProxySQL, #4555 and #4602",
        (TLS, "test_b12_an_error_stays_with_its_connection[io_uring]")),
    Bug("b16-encryption-decided-twice", "PostgreSQL, CVE-2026-14681",
        (TLS, "test_b16_encryption_is_decided_once[io_uring]")),

    Bug("c1-unknown-user-gets-the-askers", "PgBouncer, CVE-2015-6817",
        ("session_test", "AuthQuery.C1_AnUnknownUserInheritsNothing")),
    Bug("c2-valid-until-is-ignored", "PgBouncer until 1.24.1, CVE-2025-2291",
        ("test_auth.py", "test_c2_auth_query_answers_as_postgresql_would[io_uring]")),
    Bug("c4-nonce-is-not-compared", "PgBouncer, CVE-2026-19888",
        ("pg_test", "ScramServerTest.C4_NonceMustBeOursAndPrintable")),
    Bug("c5-nonce-of-any-length", "PgBouncer, CVE-2026-6665",
        ("pg_test", "Scram.C5_TheServersNonceHasABound")),
    Bug("c6-any-number-of-iterations",
        "PgBouncer, CVE-2026-6669; pgjdbc, CVE-2026-42198; pgx until 5.10",
        ("pg_test", "Scram.C6_OneIterationTooManyIsRefused")),
    Bug("c8-only-the-first-mechanism", "Odyssey, #1420",
        ("backend_test", "LoginDialogueTest.C8_TheMechanismIsFoundInAnyOrder")),
    Bug("c9-binding-is-not-required", "pgjdbc, CVE-2025-49146",
        ("backend_test",
         "LoginDialogueTest.C10_AnyMethodWithoutBindingIsRefusedWhereItIsRequired")),
    Bug("c9-no-hash-so-no-binding", "pgjdbc, CVE-2026-54291",
        ("backend_test", "LoginDialogueTest.C9_ACertificateWithoutAHashGivesNoBinding")),
    Bug("c10-ok-at-once", "pgx until 5.10, lib/pq and pgjdbc until 2026",
        ("backend_test", "LoginDialogueTest.C10_WhatRequireAuthForbidsIsNotAnswered")),
    Bug("c10-no-signature", "pgx until 5.10, lib/pq and pgjdbc until 2026",
        ("backend_test", "LoginDialogueTest.C10_OkInPlaceOfTheSignatureIsNotBelieved")),
    Bug("c13-stale-secret-is-kept", "Odyssey until #1425",
        ("session_test", "AuthQuery.C13_AFailedLoginAsksAnew")),
    Bug("c14-no-pause-after-a-refusal", "PgDog, #959",
        ("session_test", "AuthQuery.C14_AfterAFailureNobodyAsksForAMoment")),
    Bug("c17-bad-line-is-skipped", "PgBouncer since 1.8",
        ("config_test", "Hba.C17_OneBadLineRefusesTheFile")),

    Bug("d1-length-is-not-judged", "PgDog, #1228; PgBouncer, CVE-2026-107348",
        ("pg_test", "FrameReader.D1_EveryTypeAndLength")),
    Bug("d5-unknown-type-is-forwarded", "Supavisor, #1164",
        ("test_hostile_frames.py",
         "test_d5_unknown_type_is_fatal_and_does_not_reach_the_server[io_uring-idle]")),
    Bug("d7-cut-message-is-forgotten", "PgDog, #803 and #805; Supavisor, #1164",
        ("turn_test", "MachineTest.FrameHalfForwardedIsNotPoolable")),
    Bug("d9-nobody-asked-and-nobody-minds", "PgBouncer, #52",
        ("turn_test", "MachineTest.D9_ServerThatSpeaksUnaskedIsAMismatchButForAsyncFrames")),
    Bug("d11-any-status-will-do", "lib/pq and pgx until 2026",
        ("turn_test", "MachineTest.D11_HostileServerIsAMismatch")),

    Bug("e1-error-ends-one-message", "PgDog, #776; PgBouncer, #759",
        ("turn_test", "MachineTest.E1_ErrorAtEachPositionOfAPipelineSkipsToTheSync")),
    Bug("e3-own-reply-jumps-the-queue", "PgBouncer, pull request 1555",
        ("turn_test", "MachineTest.E3_OwnRepliesStayInOrderWithRealOnes")),
    Bug("e7-failed-parse-is-kept", "what suites of PgBouncer and SPQR test for",
        ("backend_test", "PreparedTest.E7_WhatFailedIsNotThere")),
    Bug("e8-types-are-not-in-the-key", "PgBouncer: the key is the text",
        ("backend_test", "StatementTable.E8_OneTextWithOtherTypesIsAnotherStatement")),
    Bug("e9-a-strangers-unnamed-statement", "PgBouncer, #1288",
        (LEAKS, "test_e9_an_unnamed_statement_is_nobody_elses[pgbraid-transaction]")),
    Bug("e10-deallocate-all-is-not-seen", "PgDog, #1342 and #1385",
        ("backend_test", "PreparedTest.E10_ADeallocateAllTakesWhatWasThereBefore")),
    Bug("e11-search-path-is-not-in-the-key", "PgBouncer: the key is the text",
        ("backend_test", "StatementTable.OneTextInOneContextIsOneStatement")),

    Bug("f1-pooled-while-it-owes", "pgagroal, #142",
        ("turn_test", "MachinePropertyTest.SaysWhatAModelServerKnows")),
    Bug("f2-nothing-is-cleaned", "PgBouncer since 1.7, transaction mode",
        (LEAKS, "test_f2_a_newcomer_finds_nothing[pgbraid-transaction-a LISTEN-leaves]")),
    Bug("f4-open-transaction-is-pooled", "Odyssey, #1208 and #1221; PgDog, #848",
        ("turn_test", "MachinePropertyTest.SaysWhatAModelServerKnows")),
    Bug("f12-settings-stay-behind", "PgBouncer, for all settings it does not follow",
        (LEAKS, "test_f2_a_newcomer_finds_nothing"
                "[pgbraid-transaction-an unreported setting-stays]")),
    Bug("f15-advisory-lock-is-not-seen", "PgDog, #801 and #907",
        (LEAKS, "test_f2_a_newcomer_finds_nothing[pgbraid-transaction-an advisory lock-stays]")),

    Bug("g3-short-secret", "PostgreSQL until 18: 32 bits",
        ("backend_test", "CancelRegistry.KeepsTheServersLength")),
    Bug("g3-secret-can-be-guessed", "any counter, or a clock as the seed",
        ("backend_test", "CancelRegistry.G3_EveryBitIsRandom")),
    Bug("g7-keys-of-the-dead-stay", "Odyssey: slots of cancels were not freed",
        ("backend_test", "CancelRegistry.G10_AnOldKeyMatchesNobody")),
]
