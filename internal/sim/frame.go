package sim

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"unicode/utf8"

	"github.com/klauspost/compress/zlib"
)

// The frame of a request: HEADER BODY \x01 CRC \n, where HEADER is VERSION(7) \x01 TYPE(2) \x01
// LENGTH(10), LENGTH counts the code points of BODY and CRC is that of HEADER and BODY in decimal.
const (
	separator    = 1
	headerSize   = 21
	versionSize  = 7
	requestLimit = 1 << 20

	serverVersion = "00.9.00"
	frameTail     = "<![CDATA[]]>\n"
)

// frame is a request taken apart.
type frame struct {
	version string
	kind    string   // two digits
	fields  []string // of the body
}

// refusal is an answer of type 04.
type refusal struct{ code, message string }

// parseRequest reads one request without its closing \n.
func parseRequest(line []byte) (frame, *refusal) {
	if len(line) < headerSize+1 || line[versionSize] != separator || line[versionSize+3] != separator {
		return frame{}, refuse("10004019")
	}
	end := bytes.LastIndexByte(line, separator)
	if end < headerSize {
		return frame{}, refuse("10004019")
	}
	kind, length := line[versionSize+1:versionSize+3], line[versionSize+4:headerSize]
	if !digits(kind) || !digits(length) {
		return frame{}, refuse("10004019")
	}
	body, sum := line[headerSize:end], line[end+1:]
	if want, err := strconv.ParseUint(string(length), 10, 64); err != nil ||
		want != uint64(utf8.RuneCount(body)) {
		return frame{}, refuse("10004019")
	}
	if string(sum) != strconv.FormatUint(uint64(crc32.ChecksumIEEE(line[:end])), 10) {
		return frame{}, refuse("10004001")
	}
	f := frame{version: string(line[:versionSize]), kind: string(kind)}
	for field := range bytes.SplitSeq(body, []byte{separator}) {
		f.fields = append(f.fields, string(field))
	}
	return f, nil
}

func digits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(text) > 0
}

// appendFrame appends an answer: HEADER BODY \x01 CRC tail, its length in code points.
func appendFrame(dst []byte, kind string, body []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, kind, utf8.RuneCount(body))
	dst = append(dst, body...)
	dst = appendSum(dst, start)
	return append(dst, frameTail...)
}

// packer compresses bodies; its state is worth keeping between answers.
type packer struct {
	writer *zlib.Writer
	out    bytes.Buffer
}

// appendPacked appends a compressed answer: its length counts bytes, and a \n stands before the tail.
func (p *packer) appendPacked(dst []byte, kind string, body []byte) ([]byte, error) {
	p.out.Reset()
	if p.writer == nil {
		writer, err := zlib.NewWriterLevel(&p.out, zlib.BestSpeed)
		if err != nil {
			return nil, fmt.Errorf("compress: %w", err)
		}
		p.writer = writer
	}
	p.writer.Reset(&p.out)
	if _, err := p.writer.Write(body); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := p.writer.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return appendStream(dst, kind, p.out.Bytes()), nil
}

// appendStream frames a zlib stream.
func appendStream(dst []byte, kind string, stream []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, kind, len(stream))
	dst = append(dst, stream...)
	dst = appendSum(dst, start)
	return append(append(dst, '\n'), frameTail...)
}

func appendHeader(dst []byte, kind string, length int) []byte {
	dst = append(append(dst, serverVersion...), separator)
	dst = append(append(dst, kind...), separator)
	return fmt.Appendf(dst, "%010d", length)
}

// appendSum appends the separator and the CRC of what stands from start on.
func appendSum(dst []byte, start int) []byte {
	sum := crc32.ChecksumIEEE(dst[start:])
	return strconv.AppendUint(append(dst, separator), uint64(sum), 10)
}

// join appends fields with separators between.
func join(dst []byte, fields ...string) []byte {
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, separator)
		}
		dst = append(dst, f...)
	}
	return dst
}

// refuse returns the refusal with that code.
func refuse(code string) *refusal {
	message, ok := messages()[code]
	if !ok {
		message = "错误"
	}
	return &refusal{code, message}
}

// messages returns the vendor's text of each code. Those of 10001011, 10004006 and 10004020 are as
// captured, the others say the same in our words.
func messages() map[string]string {
	return map[string]string{
		"10001001": "用户未登录", "10001002": "用户名或密码错误", "10001003": "获取用户信息失败",
		"10001004": "客户端版本号过期", "10001005": "账号登陆数达到上限", "10001006": "用户权限不足",
		"10001007": "需要登录激活", "10001008": "用户名为空", "10001009": "密码为空",
		"10001010": "用户登出失败", "10001011": "黑名单用户，请与管理员联系",
		"10004001": "解析数据错误", "10004002": "gzip解压失败", "10004003": "客户端未知错误", "10004004": "数组越界",
		"10004005": "传入参数为空", "10004006": "请求参数个数不正确", "10004007": "起始日期格式不正确",
		"10004008": "截止日期格式不正确", "10004009": "起始日期大于终止日期", "10004010": "日期格式不正确",
		"10004011": "无效的证券代码", "10004012": "无效的指标", "10004013": "超出日期支持范围",
		"10004014": "不支持的混合证券品种", "10004015": "不支持的证券代码品种", "10004016": "交易条数超过上限",
		"10004017": "不支持的交易信息", "10004018": "指标重复", "10004019": "消息格式不正确",
		"10004020": "错误的消息类型", "10005001": "系统级别错误",
	}
}

// readLine reads up to \n, at most requestLimit bytes; long reports a longer one.
func readLine(r *bufio.Reader, buffer []byte) (line []byte, long bool, err error) {
	line = buffer[:0]
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], false, nil
		case len(line) > requestLimit:
			return nil, true, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}
