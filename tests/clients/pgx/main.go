// pgx: Go's own implementation of the protocol. Usage: pgx-client DSN SCENARIO...
// One line per scenario, `ok NAME` or `differs NAME: what`; see tests/README.md.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	text = "Grüße 'und\" \\ %s ☃"
	rows = 100000
	wide = 8 << 20
)

var (
	ctx      = context.Background()
	settings = [][2]string{
		{"timezone", "Asia/Kathmandu"}, {"work_mem", "7MB"}, {"rig.custom", "of this client"}}
	scenarios = map[string]func(*pgx.Conn, string) error{
		"connect": connect, "simple": simple, "text_parameters": textParameters,
		"binary_parameters": binaryParameters, "prepared": prepared, "unnamed": unnamed,
		"pipeline": pipeline, "copy": copyBoth, "error": failAndRecover, "settings": keepSettings,
		"large_result": largeResult, "cancel": cancel, "listen": listen,
	}
)

func main() {
	for _, name := range os.Args[2:] {
		if err := run(os.Args[1], name); err != nil {
			fmt.Printf("differs %s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Println("ok " + name)
		}
	}
}

func run(dsn, name string) error {
	scenario := scenarios[name]
	if scenario == nil {
		return errors.New("there is no such scenario")
	}
	conn, err := open(dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return scenario(conn, dsn)
}

func open(dsn string) (*pgx.Conn, error) {
	// It would send what it does not know to the server as a setting.
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	delete(config.RuntimeParams, "channel_binding")
	return pgx.ConnectConfig(ctx, config)
}

func check(got, wanted any) error {
	if fmt.Sprint(got) == fmt.Sprint(wanted) {
		return nil
	}
	return fmt.Errorf("%.100v instead of %.100v", got, wanted)
}

func checkCode(err error, code string) error {
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || refusal.Code != code {
		return fmt.Errorf("%v instead of %s", err, code)
	}
	return nil
}

func one[T any](conn *pgx.Conn, sql string, args ...any) (T, error) {
	var value T
	err := conn.QueryRow(ctx, sql, args...).Scan(&value)
	return value, err
}

func expect[T any](conn *pgx.Conn, wanted T, sql string, args ...any) error {
	value, err := one[T](conn, sql, args...)
	if err != nil {
		return err
	}
	return check(value, wanted)
}

func connect(conn *pgx.Conn, _ string) error {
	return expect(conn, 1, "SELECT 1")
}

func simple(conn *pgx.Conn, _ string) error {
	if err := expect(conn, text, "SELECT $1::text", pgx.QueryExecModeSimpleProtocol, text); err != nil {
		return err
	}
	results, err := conn.PgConn().Exec(ctx, "SELECT 1; SELECT 2; SELECT 'three'").ReadAll()
	if err != nil {
		return err
	}
	if err := check(len(results), 3); err != nil {
		return err
	}
	return check(string(results[2].Rows[0][0]), "three")
}

func parameters(conn *pgx.Conn, mode pgx.QueryExecMode) error {
	data := []byte{0, 255, 128, 39, 92}
	for n := 0; n < 12; n++ {
		var gotText string
		var gotData []byte
		var gotNumber int
		var null *string
		err := conn.QueryRow(ctx, "SELECT $1::text, $2::bytea, $3::int, $4::text", mode, text, data,
			n, nil).Scan(&gotText, &gotData, &gotNumber, &null)
		if err != nil {
			return err
		}
		if gotText != text || !bytes.Equal(gotData, data) || gotNumber != n || null != nil {
			return fmt.Errorf("%q %v %d %v", gotText, gotData, gotNumber, null)
		}
	}
	return nil
}

func textParameters(conn *pgx.Conn, _ string) error {
	return parameters(conn, pgx.QueryExecModeExec)
}

func binaryParameters(conn *pgx.Conn, _ string) error {
	return parameters(conn, pgx.QueryExecModeCacheDescribe)
}

func prepared(conn *pgx.Conn, _ string) error {
	for round := 0; round < 4; round++ {
		for n := 0; n < 8; n++ {
			tx, err := conn.Begin(ctx)
			if err != nil {
				return err
			}
			sql := fmt.Sprintf("SELECT $1::int + %d", n)
			if err := expect(conn, round+n, sql, round); err != nil {
				return err
			}
			if err := tx.Commit(ctx); err != nil {
				return err
			}
			if err := expect(conn, round+n, sql, round); err != nil {
				return err
			}
		}
	}
	if _, err := conn.Prepare(ctx, "by_name", "SELECT $1::text"); err != nil {
		return err
	}
	if err := expect(conn, text, "by_name", text); err != nil {
		return err
	}
	return conn.Deallocate(ctx, "by_name")
}

func unnamed(conn *pgx.Conn, _ string) error {
	for n := 0; n < 20; n++ {
		err := expect(conn, 2*n, "SELECT $1::int * 2", pgx.QueryExecModeDescribeExec, n)
		if err != nil {
			return err
		}
	}
	return nil
}

func pipeline(conn *pgx.Conn, _ string) error {
	batch := &pgx.Batch{}
	for n := 0; n < 200; n++ {
		batch.Queue("SELECT $1::int", n)
	}
	results := conn.SendBatch(ctx, batch)
	for n := 0; n < 200; n++ {
		var got int
		if err := results.QueryRow().Scan(&got); err != nil {
			return err
		}
		if got != n {
			return fmt.Errorf("answer %d is %d", n, got)
		}
	}
	if err := results.Close(); err != nil {
		return err
	}
	pipe := conn.PgConn().StartPipeline(ctx)
	for n := 0; n < 3; n++ {
		pipe.SendQueryParams("SELECT 1/$1::int", [][]byte{[]byte(fmt.Sprint(n))}, nil, nil, nil)
		if err := pipe.Sync(); err != nil {
			return err
		}
	}
	failures := 0
	for n := 0; n < 6; n++ { // a result and a Sync each
		result, err := pipe.GetResults()
		if reader, ok := result.(*pgconn.ResultReader); ok {
			_, err = reader.Close()
		}
		if err != nil {
			failures++
			if err := checkCode(err, "22012"); err != nil {
				return err
			}
		}
	}
	if err := check(failures, 1); err != nil {
		return err
	}
	return pipe.Close()
}

func copyBoth(conn *pgx.Conn, _ string) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	create := "CREATE TEMP TABLE copied(n int, v text) ON COMMIT DROP"
	if _, err := conn.Exec(ctx, create); err != nil {
		return err
	}
	source := pgx.CopyFromSlice(rows, func(n int) ([]any, error) {
		return []any{n, fmt.Sprintf("value %d", n)}, nil
	})
	columns := []string{"n", "v"}
	count, err := conn.CopyFrom(ctx, pgx.Identifier{"copied"}, columns, source)
	if err != nil {
		return err
	}
	if err := check(count, rows); err != nil {
		return err
	}
	var back, wanted bytes.Buffer
	for n := 0; n < rows; n++ {
		fmt.Fprintf(&wanted, "%d\tvalue %d\n", n, n)
	}
	query := "COPY (SELECT * FROM copied ORDER BY n) TO STDOUT"
	if _, err := conn.PgConn().CopyTo(ctx, &back, query); err != nil {
		return err
	}
	if !bytes.Equal(back.Bytes(), wanted.Bytes()) {
		return errors.New("what came back is not what went in")
	}
	return tx.Commit(ctx)
}

func failAndRecover(conn *pgx.Conn, _ string) error {
	for round := 0; round < 3; round++ {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		_, err = one[int](conn, "SELECT 1/$1::int", 0)
		if err := checkCode(err, "22012"); err != nil {
			return err
		}
		_, err = one[int](conn, "SELECT $1::int", 1)
		if err := checkCode(err, "25P02"); err != nil {
			return err
		}
		if err := tx.Rollback(ctx); err != nil {
			return err
		}
		if err := expect(conn, 7, "SELECT $1::int", 7); err != nil {
			return err
		}
	}
	return nil
}

func keepSettings(conn *pgx.Conn, _ string) error {
	for _, setting := range settings {
		if _, err := conn.Exec(ctx, fmt.Sprintf("SET %s = '%s'", setting[0], setting[1])); err != nil {
			return err
		}
	}
	for n := 0; n < 20; n++ {
		for _, setting := range settings {
			if err := expect(conn, setting[1], "SHOW "+setting[0]); err != nil {
				return err
			}
		}
	}
	return check(conn.PgConn().ParameterStatus("TimeZone"), settings[0][1])
}

func largeResult(conn *pgx.Conn, _ string) error {
	result, err := conn.Query(ctx,
		"SELECT n, repeat('x', 100) FROM generate_series(1, $1::int) n", rows)
	if err != nil {
		return err
	}
	sum := 0
	for result.Next() {
		var n int
		var pad string
		if err := result.Scan(&n, &pad); err != nil {
			return err
		}
		sum += n
	}
	if err := result.Err(); err != nil {
		return err
	}
	if err := check(sum, rows*(rows+1)/2); err != nil {
		return err
	}
	value, err := one[string](conn, "SELECT repeat('y', $1::int)", wide)
	if err != nil {
		return err
	}
	return check(len(value), wide)
}

func cancel(conn *pgx.Conn, dsn string) error {
	watcher, err := open(dsn)
	if err != nil {
		return err
	}
	defer watcher.Close(ctx)
	name := fmt.Sprintf("pgx%d", time.Now().UnixNano())
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "SELECT pg_sleep(60) /* "+name+" */")
		ended <- err
	}()
	for asleep := int64(0); asleep == 0; {
		asleep, err = one[int64](watcher, "SELECT count(*) FROM pg_stat_activity WHERE "+
			"wait_event = 'PgSleep' AND query LIKE '%' || $1 || '%'", name)
		if err != nil {
			return err
		}
	}
	if err := conn.PgConn().CancelRequest(ctx); err != nil {
		return err
	}
	if err := checkCode(<-ended, "57014"); err != nil {
		return err
	}
	return expect(conn, 5, "SELECT $1::int", 5)
}

func listen(conn *pgx.Conn, dsn string) error {
	teller, err := open(dsn)
	if err != nil {
		return err
	}
	defer teller.Close(ctx)
	if _, err := conn.Exec(ctx, "LISTEN rig"); err != nil {
		return err
	}
	if _, err := teller.Exec(ctx, "NOTIFY rig, 'news'"); err != nil {
		return err
	}
	limited, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	heard, err := conn.WaitForNotification(limited)
	if err != nil {
		return err
	}
	return check(heard.Payload, "news")
}
