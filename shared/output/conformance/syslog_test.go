// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
)

// syslog is tried over RELP, of its protocols the one with acknowledgements.
var syslog = protocol{
	name: "syslog",
	not:  append([]behaviour{unauthorized}, withoutHTTP...),
	environ: func(address, ca, timeout string) map[string]string {
		host, port, _ := net.SplitHostPort(address)
		environ := map[string]string{
			"SYSLOG_HOST": host, "SYSLOG_PORT": port, "SYSLOG_PROTOCOL": "relp", "SYSLOG_TIMEOUT": timeout + "ms",
		}
		if ca != "" {
			environ["SYSLOG_PROTOCOL"], environ["SYSLOG_CA"] = "relp+tls", ca
		}
		return environ
	},
	start: (&exchange{hello: relpHello, read: relpRead, single: true, taken: relpAnswer("200 OK"), failed: relpAnswer("500 no"), forbidden: relpAnswer("500 no")}).serve,
}

func relpFrame(in *bufio.Reader) (txnr int, command, data string, err error) {
	var size int
	if _, err = fmt.Fscanf(in, "%d %s %d", &txnr, &command, &size); err != nil {
		return 0, "", "", err
	}
	body := make([]byte, size+2) // a space before it and a newline behind it
	if _, err = io.ReadFull(in, body); err != nil {
		return 0, "", "", err
	}
	if body[0] != ' ' || body[size+1] != '\n' {
		return 0, "", "", errors.New("a frame without an end")
	}
	return txnr, command, string(body[1 : size+1]), nil
}

func relpHello(c net.Conn, in *bufio.Reader, _ bool) bool {
	txnr, command, data, err := relpFrame(in)
	if err != nil || command != "open" || !strings.Contains(data, "relp_version=0") {
		return false
	}
	const offers = "200 OK\nrelp_version=0\nrelp_software=test\ncommands=syslog"
	_, err = fmt.Fprintf(c, "%d rsp %d %s\n", txnr, len(offers), offers)
	return err == nil
}

// message5424 is a message of RFC 5424, as strictly as a server reads it.
var message5424 = regexp.MustCompile(`^<\d{1,3}>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z node-1 (?:web|evil) - access \[remora@32473((?: [!-~]+="(?:[^"\\\]]|\\["\\\]])*")+)\] (.*)$`)

// relpRead reads the frames that are there.
func relpRead(in *bufio.Reader) (all []entry, state any, err error) {
	var numbers []int
	for len(all) == 0 || in.Buffered() > 0 && len(all) < 100 {
		txnr, command, data, err := relpFrame(in)
		if err != nil {
			return nil, nil, err
		}
		m := message5424.FindStringSubmatch(data)
		if command != "syslog" || m == nil {
			return nil, nil, fmt.Errorf("%s %q", command, data)
		}
		_, id, _ := strings.Cut(m[1], ` id="`)
		id, _, _ = strings.Cut(id, `"`)
		all = append(all, entry{id: id, line: m[2]})
		numbers = append(numbers, txnr)
	}
	return all, numbers, nil
}

func relpAnswer(text string) func(state any) []byte {
	return func(state any) (p []byte) {
		for _, txnr := range state.([]int) {
			p = fmt.Appendf(p, "%d rsp %d %s\n", txnr, len(text), text)
		}
		return p
	}
}
