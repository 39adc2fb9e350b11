package sim

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"strconv"
	"time"
)

// The kinds of requests that are no plain query.
const (
	kindLogin   = "00"
	kindLogout  = "02"
	kindError   = "04"
	kindOldData = "11"
	kindKData   = "95"
)

// session is one connection.
type session struct {
	server *Server
	conn   net.Conn
	reader *bufio.Reader
	remote string
	user   string // "" before login

	// Buffers kept from one request to the next.
	line, body, frame []byte
	rows              records
	bars              []Bar
	packer            packer
}

// serve answers requests until the client goes, the connection is idle for too long or ctx ends.
func (s *session) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	defer func() {
		stop()
		_ = s.conn.Close()
		s.logout()
		if hook := s.server.config.OnClose; hook != nil {
			hook(s.server.Stats())
		}
	}()
	for {
		if idle := s.server.config.IdleTimeout; idle > 0 {
			if err := s.conn.SetReadDeadline(time.Now().Add(idle)); err != nil {
				return nil // the connection is gone, which is the client's affair
			}
		}
		line, long, err := readLine(s.reader, s.line)
		if err != nil {
			return nil
		}
		if long {
			_ = s.send(ctx, 0, s.refusal(refuse("10004016")), nil)
			return nil
		}
		s.line = line
		if err := s.handle(ctx, line); err != nil {
			return nil
		}
	}
}

// handle answers one request; an error ends the connection.
func (s *session) handle(ctx context.Context, line []byte) error {
	number := s.server.requests.Add(1)
	request, refused := parseRequest(line)
	s.server.count(func(stats *Stats) {
		stats.Requests++
		stats.BytesIn += int64(len(line)) + 1
		if refused == nil {
			stats.ByType[request.kind]++
			if request.kind == kindKData {
				stats.KData++
			}
		}
	})
	if refused != nil {
		return s.send(ctx, number, s.refusal(refused), nil)
	}
	if hook := s.server.config.OnRequest; hook != nil {
		hook(request.describe(number, s.remote))
	}
	rules := s.server.script.Load().next(request.kind)
	if refused := s.server.admit(s.remote); refused != nil {
		return s.send(ctx, number, s.refusal(refused), rules)
	}
	for _, r := range rules {
		switch r.action {
		case faultDrop:
			s.struck(r)
			return errReset
		case faultError:
			s.struck(r)
			return s.send(ctx, number, s.refusal(refuse(r.code)), rules)
		case faultPageCap:
			s.struck(r)
			s.server.pageCap.Store(int64(r.size))
		case faultRestate:
			s.struck(r)
			s.server.Restate()
		}
	}
	frame, err := s.answer(request, rules)
	if err != nil {
		return err
	}
	return s.send(ctx, number, frame, rules)
}

// describe returns the request in the words of the hook.
func (f frame) describe(number int64, remote string) Request {
	r := Request{Number: number, Type: f.kind, Method: f.fields[0], Version: f.version, Remote: remote}
	switch {
	case f.kind == kindLogin || f.kind == kindLogout:
		r.Args = f.fields[1:min(2, len(f.fields))] // the name, not the password
	case len(f.fields) >= 4:
		r.Page, r.Args = f.fields[2], f.fields[4:]
	}
	return r
}

// answer returns the frame that answers a request.
func (s *session) answer(request frame, rules []Rule) ([]byte, error) {
	switch request.kind {
	case kindLogin:
		return s.login(request)
	case kindLogout:
		return s.bye(request), nil
	}
	q, ok := s.server.queries[request.kind]
	if !ok {
		return s.refusal(refuse("10004020")), nil
	}
	if s.user == "" {
		return s.refusal(refuse("10001001")), nil
	}
	if len(request.fields) != q.args+4 {
		return s.refusal(refuse("10004006")), nil
	}
	page, perPage, refused := s.paging(request)
	if refused != nil {
		return s.refusal(refused), nil
	}
	a := asked{
		view: s.server.view(), seed: s.server.config.Seed, args: request.fields[4:], rows: &s.rows,
		bars: s.bars, fields: q.fields,
	}
	s.rows.begin((page-1)*perPage, perPage)
	refused = q.run(&a)
	s.bars = a.bars
	if refused != nil {
		return s.refusal(refused), nil
	}
	s.alter(rules)
	return s.success(request, &a, rules)
}

// paging reads page and rows per page, of which the server's cap allows some.
func (s *session) paging(request frame) (page, perPage int, refused *refusal) {
	page, err := strconv.Atoi(request.fields[2])
	if err != nil || page < 1 || page > 1<<30 {
		return 0, 0, refuse("10004006")
	}
	perPage, err = strconv.Atoi(request.fields[3])
	if err != nil || perPage < 1 {
		return 0, 0, refuse("10004006")
	}
	return page, min(perPage, int(s.server.pageCap.Load())), nil
}

// success writes the answer of a query: k-data repeats the code before its fields, all others their
// arguments in order.
func (s *session) success(request frame, a *asked, rules []Rule) ([]byte, error) {
	s.server.count(func(stats *Stats) {
		stats.Rows += int64(s.rows.count())
		if request.kind == kindKData {
			stats.KDataRows += int64(s.rows.count())
		}
	})
	body := join(s.body[:0], "0", "success", request.fields[0], s.user, request.fields[2], request.fields[3], "")
	body = s.rows.appendData(body)
	for _, arg := range a.args {
		body = append(append(body, separator), arg...)
	}
	kdata := request.kind == kindKData || request.kind == kindOldData
	if !kdata {
		body = append(append(body, separator), a.fields...)
	}
	s.body = body
	if request.kind != kindKData {
		s.frame = appendFrame(s.frame[:0], answerKind(request.kind), body)
		return s.frame, nil
	}
	var err error
	if s.frame, err = s.packer.appendPacked(s.frame[:0], answerKind(request.kind), body); err != nil {
		return nil, err
	}
	for _, r := range rules {
		if r.action == faultTruncate {
			s.struck(r)
			stream := s.packer.out.Bytes()
			s.frame = appendStream(s.frame[:0], answerKind(request.kind), stream[:len(stream)*2/3])
		}
	}
	return s.frame, nil
}

// answerKind returns the type of the answer: the request's plus one, but for one slip of the vendor's.
func answerKind(kind string) string {
	if kind == "53" {
		return "56"
	}
	if kind[1] == '9' {
		return string([]byte{kind[0] + 1, '0'}) // 99 is no request
	}
	return string([]byte{kind[0], kind[1] + 1})
}

// refusal returns the frame of an error.
func (s *session) refusal(r *refusal) []byte {
	s.server.count(func(stats *Stats) { stats.Errors[r.code]++ })
	s.body = join(s.body[:0], r.code, r.message)
	s.frame = appendFrame(s.frame[:0], kindError, s.body)
	return s.frame
}

// login checks version, name and password, in that order.
func (s *session) login(request frame) ([]byte, error) {
	config := &s.server.config
	if config.MinVersion != "" && request.version < config.MinVersion {
		if config.VersionReset {
			s.reset()
			return nil, errReset
		}
		return s.refusal(refuse("10001004")), nil
	}
	if len(request.fields) != 4 {
		return s.refusal(refuse("10004006")), nil
	}
	name, password := request.fields[1], request.fields[2]
	switch wanted, known := config.Users[name]; {
	case name == "":
		return s.refusal(refuse("10001008")), nil
	case password == "":
		return s.refusal(refuse("10001009")), nil
	case !known || password != wanted:
		return s.refusal(refuse("10001002")), nil
	}
	if s.user == "" {
		if refused := s.server.enter(s.remote); refused != nil {
			return s.refusal(refused), nil
		}
	}
	s.user = name
	return s.greeting("01", "login"), nil
}

// bye answers a logout.
func (s *session) bye(request frame) []byte {
	if s.user == "" {
		return s.refusal(refuse("10001001"))
	}
	if len(request.fields) != 3 {
		return s.refusal(refuse("10004006"))
	}
	frame := s.greeting("03", "logout")
	s.logout()
	return frame
}

func (s *session) greeting(kind, method string) []byte {
	stamp := s.server.view().now.Format("20060102150405") + "000"
	s.body = join(s.body[:0], "0", "success", method, s.user, stamp)
	s.frame = appendFrame(s.frame[:0], kind, s.body)
	return s.frame
}

// logout ends the login of the connection, if there is one.
func (s *session) logout() {
	if s.user != "" {
		s.user = ""
		s.server.leave(s.remote)
	}
}

// struck counts a rule that had an effect.
func (s *session) struck(r Rule) {
	s.server.count(func(stats *Stats) { stats.Faults[string(r.action)]++ })
}

// alter applies the rules that change rows.
func (s *session) alter(rules []Rule) {
	for _, r := range rules {
		switch {
		case r.action.needsRows() && s.rows.count() >= 2:
			s.struck(r)
			s.rows.alter(r.action)
		case r.action == faultGBK && s.rows.toGBK():
			s.struck(r)
		}
	}
}

// send writes a frame at the connection's pace, with the faults that hit a frame.
func (s *session) send(ctx context.Context, number int64, frame []byte, rules []Rule) error {
	config := &s.server.config
	delay := config.RTT
	if config.Jitter > 0 {
		draw := mix(config.Seed^0x6a6974746572, uint64(number))
		delay += time.Duration(between(draw, -int64(config.Jitter), int64(config.Jitter)))
	}
	if err := wait(ctx, delay); err != nil {
		return err
	}
	for _, r := range rules {
		switch r.action {
		case faultCRC:
			s.struck(r)
			breakSum(frame)
		case faultReset:
			s.struck(r)
			_ = s.write(ctx, frame[:len(frame)/2])
			s.reset()
			return errReset
		case faultStall:
			s.struck(r)
			half := len(frame) / 2
			if err := s.write(ctx, frame[:half]); err != nil {
				return err
			}
			frame = frame[half:]
			if err := wait(ctx, r.span); err != nil {
				return err
			}
		}
	}
	return s.write(ctx, frame)
}

// write writes bytes no faster than the limit.
func (s *session) write(ctx context.Context, data []byte) error {
	limit := s.server.config.BytesPerSecond
	for len(data) > 0 {
		part := data
		if limit > 0 {
			part = data[:min(len(data), max(limit/20, 1))]
		}
		n, err := s.conn.Write(part)
		s.server.count(func(stats *Stats) { stats.BytesOut += int64(n) })
		if err != nil {
			return err
		}
		data = data[n:]
		if limit > 0 {
			if err := wait(ctx, time.Duration(n)*time.Second/time.Duration(limit)); err != nil {
				return err
			}
		}
	}
	return nil
}

// reset makes the client see a reset instead of an orderly end.
func (s *session) reset() {
	if conn, ok := s.conn.(*net.TCPConn); ok {
		_ = conn.SetLinger(0)
	}
	_ = s.conn.Close()
}

// breakSum alters the last digit of a frame's check sum.
func breakSum(frame []byte) {
	at := bytes.LastIndex(frame, []byte(frameTail)) - 1
	if frame[at] == '\n' {
		at--
	}
	frame[at] = '0' + (frame[at]-'0'+1)%10
}

// wait returns after d, or with the cause of ctx.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
