// JDBC (pgjdbc): java -cp postgresql.jar Jdbc.java DSN SCENARIO...
// One line per scenario, `ok NAME` or `differs NAME: what`; see tests/README.md.

import java.io.StringReader;
import java.io.StringWriter;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

public class Jdbc {
  static final String TEXT = "Grüße 'und\" \\ %s ☃";
  static final int ROWS = 100_000;
  static final int WIDE = 8 << 20;
  static final String[][] SETTINGS = {
    {"timezone", "Asia/Kathmandu"}, {"work_mem", "7MB"}, {"rig.custom", "of this client"}
  };

  interface Scenario {
    void run(String dsn) throws Exception;
  }

  static final Map<String, Scenario> SCENARIOS = Map.ofEntries(
      Map.entry("connect", Jdbc::connect), Map.entry("simple", Jdbc::simple),
      Map.entry("text_parameters", dsn -> parameters(dsn, "binaryTransfer", "false")),
      Map.entry("binary_parameters", dsn -> parameters(dsn, "prepareThreshold", "-1")),
      Map.entry("prepared", Jdbc::prepared), Map.entry("unnamed", Jdbc::unnamed),
      Map.entry("cursors", Jdbc::cursors), Map.entry("pipeline", Jdbc::pipeline),
      Map.entry("copy", Jdbc::copy), Map.entry("error", Jdbc::error),
      Map.entry("settings", Jdbc::settings), Map.entry("large_result", Jdbc::largeResult),
      Map.entry("cancel", Jdbc::cancel), Map.entry("listen", Jdbc::listen));

  public static void main(String[] arguments) {
    for (String name : Arrays.copyOfRange(arguments, 1, arguments.length)) {
      try {
        SCENARIOS.get(name).run(arguments[0]);
        System.out.println("ok " + name);
      } catch (Throwable difference) {
        String text = difference.toString().replaceAll("\\s+", " ");
        System.out.println("differs " + name + ": " + text);
      }
    }
  }

  /** The URL of libpq, with further properties of the driver's. */
  static Connection open(String dsn, String... more) throws SQLException {
    URI uri = URI.create(dsn);
    Properties properties = new Properties();
    String[] login = uri.getRawUserInfo().split(":", 2);
    properties.setProperty("user", decoded(login[0]));
    if (login.length > 1) properties.setProperty("password", decoded(login[1]));
    if (uri.getRawQuery() != null) {
      for (String option : uri.getRawQuery().split("&")) {
        String[] pair = option.split("=", 2);
        // It knows keys in PKCS#8 only, which stands next to the PEM.
        String value = decoded(pair[1]) + (pair[0].equals("sslkey") ? ".pk8" : "");
        if (!pair[0].equals("channel_binding")) properties.setProperty(pair[0], value);
      }
    }
    for (int i = 0; i < more.length; i += 2) properties.setProperty(more[i], more[i + 1]);
    String address = uri.getHost() + ":" + uri.getPort() + uri.getPath();
    return DriverManager.getConnection("jdbc:postgresql://" + address, properties);
  }

  static String decoded(String text) {
    return URLDecoder.decode(text, StandardCharsets.UTF_8);
  }

  static void check(Object got, Object wanted) {
    if (!got.equals(wanted)) throw new AssertionError(cut(got) + " instead of " + cut(wanted));
  }

  static String cut(Object value) {
    String text = value.toString();
    return text.length() < 100 ? text : text.substring(0, 100) + "...";
  }

  static Object one(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet result = statement.executeQuery(sql)) {
      result.next();
      return result.getObject(1);
    }
  }

  static int add(PreparedStatement statement, int value) throws SQLException {
    statement.setInt(1, value);
    try (ResultSet result = statement.executeQuery()) {
      result.next();
      return result.getInt(1);
    }
  }

  interface Query {
    void run() throws SQLException;
  }

  static void checkFails(Query query, String code) throws SQLException {
    try {
      query.run();
    } catch (SQLException refusal) {
      check(refusal.getSQLState(), code);
      return;
    }
    throw new AssertionError("no error " + code);
  }

  static void connect(String dsn) throws Exception {
    try (Connection connection = open(dsn)) {
      check(one(connection, "SELECT 1"), 1);
      check(connection.isValid(30), true);
    }
  }

  static void simple(String dsn) throws Exception {
    try (Connection connection = open(dsn, "preferQueryMode", "simple");
        PreparedStatement statement = connection.prepareStatement("SELECT ?, ?::int")) {
      statement.setString(1, TEXT);
      statement.setInt(2, 2);
      ResultSet result = statement.executeQuery();
      result.next();
      check(result.getString(1), TEXT);
      check(one(connection, "SELECT 'three'"), "three");
    }
  }

  static void parameters(String dsn, String key, String value) throws Exception {
    byte[] data = {0, -1, -128, 39, 92};
    try (Connection connection = open(dsn, key, value);
        PreparedStatement statement =
            connection.prepareStatement("SELECT ?::text, ?::bytea, ?::int, ?::text")) {
      for (int n = 0; n < 12; n++) {
        statement.setString(1, TEXT);
        statement.setBytes(2, data);
        statement.setInt(3, n);
        statement.setString(4, null);
        ResultSet result = statement.executeQuery();
        result.next();
        check(result.getString(1), TEXT);
        check(Arrays.equals(result.getBytes(2), data), true);
        check(result.getInt(3), n);
        check(result.getString(4) == null, true);
      }
    }
  }

  static void prepared(String dsn) throws Exception {
    try (Connection connection =
        open(dsn, "prepareThreshold", "1", "preparedStatementCacheQueries", "4")) {
      for (int round = 0; round < 4; round++) {
        for (int n = 0; n < 8; n++) {
          try (PreparedStatement statement = connection.prepareStatement("SELECT ?::int + " + n)) {
            connection.setAutoCommit(false);
            check(add(statement, round), round + n);
            connection.commit();
            connection.setAutoCommit(true);
            check(add(statement, round), round + n);
          }
        }
      }
    }
  }

  static void unnamed(String dsn) throws Exception {
    try (Connection connection = open(dsn, "prepareThreshold", "0");
        PreparedStatement statement = connection.prepareStatement("SELECT ?::int * 2")) {
      for (int n = 0; n < 20; n++) check(add(statement, n), 2 * n);
    }
  }

  static void cursors(String dsn) throws Exception {
    try (Connection connection = open(dsn);
        Statement statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      statement.setFetchSize(100);
      ResultSet result = statement.executeQuery("SELECT generate_series(1, 10000)");
      long sum = 0;
      while (result.next()) sum += result.getInt(1);
      check(sum, 50_005_000L);
      connection.commit();
    }
  }

  static void pipeline(String dsn) throws Exception {
    try (Connection connection = open(dsn);
        Statement create = connection.createStatement()) {
      connection.setAutoCommit(false);
      create.execute("CREATE TEMP TABLE many(n int) ON COMMIT DROP");
      try (PreparedStatement insert = connection.prepareStatement("INSERT INTO many VALUES (?)")) {
        for (int n = 0; n < 1000; n++) {
          insert.setInt(1, n);
          insert.addBatch();
        }
        check(insert.executeBatch().length, 1000);
      }
      check(one(connection, "SELECT sum(n) FROM many"), 499_500L);
      connection.commit();
    }
  }

  static void copy(String dsn) throws Exception {
    StringBuilder rows = new StringBuilder();
    for (int n = 0; n < ROWS; n++) rows.append(n).append("\tvalue ").append(n).append('\n');
    try (Connection connection = open(dsn);
        Statement create = connection.createStatement()) {
      connection.setAutoCommit(false);
      create.execute("CREATE TEMP TABLE copied(n int, v text) ON COMMIT DROP");
      var manager = connection.unwrap(PGConnection.class).getCopyAPI();
      long count = manager.copyIn("COPY copied FROM STDIN", new StringReader(rows.toString()));
      check(count, (long) ROWS);
      StringWriter back = new StringWriter();
      manager.copyOut("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT", back);
      check(back.toString().contentEquals(rows), true);
      connection.commit();
    }
  }

  static void error(String dsn) throws Exception {
    try (Connection connection = open(dsn);
        PreparedStatement divide = connection.prepareStatement("SELECT 1 / ?")) {
      connection.setAutoCommit(false);
      for (int round = 0; round < 8; round++) {
        checkFails(() -> add(divide, 0), "22012");
        checkFails(() -> add(divide, 1), "25P02");
        connection.rollback();
        check(add(divide, 1), 1);
        connection.commit();
      }
    }
  }

  static void settings(String dsn) throws Exception {
    try (Connection connection = open(dsn);
        Statement statement = connection.createStatement()) {
      for (String[] setting : SETTINGS) {
        statement.execute("SET " + setting[0] + " = '" + setting[1] + "'");
      }
      for (int n = 0; n < 20; n++) {
        for (String[] setting : SETTINGS) {
          check(one(connection, "SHOW " + setting[0]), setting[1]);
        }
      }
      String zone = connection.unwrap(PGConnection.class).getParameterStatus("TimeZone");
      check(zone, SETTINGS[0][1]);
    }
  }

  static void largeResult(String dsn) throws Exception {
    try (Connection connection = open(dsn);
        Statement statement = connection.createStatement()) {
      ResultSet result = statement.executeQuery(
          "SELECT n, repeat('x', 100) FROM generate_series(1, " + ROWS + ") n");
      long sum = 0;
      while (result.next()) sum += result.getInt(1);
      check(sum, (long) ROWS * (ROWS + 1) / 2);
      check(((String) one(connection, "SELECT repeat('y', " + WIDE + ")")).length(), WIDE);
    }
  }

  static void cancel(String dsn) throws Exception {
    try (Connection connection = open(dsn);
        Connection watcher = open(dsn);
        Statement statement = connection.createStatement()) {
      String name = UUID.randomUUID().toString();
      String[] outcome = {"no error"};
      Thread sleeper = new Thread(() -> {
        try {
          statement.execute("SELECT pg_sleep(60) /* " + name + " */");
        } catch (SQLException refusal) {
          outcome[0] = refusal.getSQLState();
        }
      });
      sleeper.start();
      String asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND "
          + "query LIKE '%" + name + "%'";
      while (sleeper.isAlive() && one(watcher, asleep).equals(0L)) Thread.onSpinWait();
      statement.cancel();
      sleeper.join();
      check(outcome[0], "57014");
      check(one(connection, "SELECT 5"), 5);
    }
  }

  static void listen(String dsn) throws Exception {
    try (Connection connection = open(dsn);
        Connection teller = open(dsn);
        Statement listening = connection.createStatement();
        Statement telling = teller.createStatement()) {
      listening.execute("LISTEN rig");
      telling.execute("NOTIFY rig, 'news'");
      PGNotification[] heard = connection.unwrap(PGConnection.class).getNotifications(30_000);
      check(heard[0].getParameter(), "news");
    }
  }
}
