// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/output/settings"
)

const loaded = `document.querySelectorAll('#rows tbody tr[aria-rowindex]').length > 0`

func TestSortAndFilterTwoThousandContainers(t *testing.T) {
	b := open(t, serve(t, 2000, config.Listener{}).url)
	b.await(loaded)
	if drawn := js[int](b, `document.querySelectorAll('#rows tbody tr').length`); drawn > 100 {
		t.Fatalf("%d of 2,000 rows are drawn", drawn)
	}
	if rows := js[string](b, `document.querySelector('#rows table').getAttribute('aria-rowcount')`); rows != "2001" {
		t.Fatalf("a screen reader is told of %s rows", rows)
	}
	if states := b.column("State"); states[0] != "refused" {
		t.Fatalf("the worst comes first: %q", states[:3])
	}
	b.sortBy("Read")
	down := numbers(t, b.column("Read"))
	b.sortBy("Read")
	up := numbers(t, b.column("Read"))
	if !slices.IsSortedFunc(down, func(a, b int) int { return b - a }) || !slices.IsSorted(up) || down[0] <= up[0] {
		t.Fatalf("sorted: %v, and the other way %v", down, up)
	}
	if sort := js[string](b, `document.querySelector('#rows th[aria-sort]').ariaSort`); sort != "ascending" {
		t.Fatalf("aria-sort is %s", sort)
	}
	b.write("search", "WEB-1999 access")
	b.await(`document.querySelector('#count').textContent.startsWith('1 of 2,000')`)
	b.write("search", "")
	b.choose("state", "no_match")
	b.await(`document.querySelector('#count').textContent.startsWith('20 of')`)
	if reasons := b.column("Reason"); len(reasons) != 20 || reasons[0] != "no file matches /audit/*.log" {
		t.Fatalf("%q", reasons)
	}
	b.choose("state", "")
	b.choose("output", "kafka")
	b.await(`document.querySelector('#count').textContent.startsWith('1,980 of')`)
}

func numbers(t *testing.T, texts []string) (all []int) {
	t.Helper()
	for _, text := range texts {
		n, err := strconv.Atoi(strings.ReplaceAll(text, ",", ""))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// Thousands of rows are scrolled through without holding up the page: the time that scripts take for a frame is bounded.
func TestScrollingDrawsAFewRows(t *testing.T) {
	b := open(t, serve(t, 5000, config.Listener{}).url)
	b.await(loaded)
	b.sortBy("Container")
	b.sortBy("Container")
	seen := map[string]bool{}
	for i := range 40 {
		b.call(`(document.querySelector('#rows').scrollTop = %s, new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(0)))))`, i*4000)
		for _, name := range b.column("Container") {
			seen[name] = true
		}
		if drawn := js[int](b, `document.querySelectorAll('#rows tbody tr').length`); drawn > 100 {
			t.Fatalf("%d rows are drawn", drawn)
		}
		visible := js[bool](b, `(() => { const r = document.querySelector('#rows').getBoundingClientRect();
			const e = document.elementFromPoint(r.left + 60, r.top + r.height / 2); return !!e.closest('tr[aria-rowindex]') || %s > 39 })()`, i)
		if !visible {
			t.Fatalf("nothing is drawn at %d", i*4000)
		}
	}
	if len(seen) < 1000 {
		t.Fatalf("%d rows were seen", len(seen))
	}
}

func TestHostileNamesAreInert(t *testing.T) {
	b := open(t, serve(t, 10, config.Listener{}).url)
	b.await(loaded)
	b.write("search", "onerror")
	b.await(`document.querySelector('#count').textContent.startsWith('1 of')`)
	shown := b.column("Container")[0]
	if !strings.HasPrefix(shown, "<img src=x") || strings.Contains(shown, "\u202e") || !strings.HasSuffix(shown, `\u202e`) {
		t.Fatalf("%q", shown)
	}
	b.call(`document.querySelector('#rows tbody a').click()`)
	b.await(`document.querySelectorAll('#details-rows li').length > 0`)
	if js[bool](b, `!!window.hacked || !!document.querySelector('main img, main script')`) {
		t.Fatal("a name became part of the page")
	}
	if !strings.HasPrefix(js[string](b, `document.querySelector('#details-name').textContent`), "<img src=x") {
		t.Fatal("the link leads elsewhere")
	}
}

func TestABackendThatFailsAndComesBack(t *testing.T) {
	n := serve(t, 50, config.Listener{})
	b := open(t, n.url)
	b.await(`document.querySelector('#outputs .good')`)
	n.down.Store(true)
	b.await(`document.querySelector('#outputs .bad')?.textContent.includes('connection refused')`)
	b.await(`[...document.querySelectorAll('#rows td.bad')].some(e => e.textContent === 'failing')`)
	n.down.Store(false)
	b.await(`!document.querySelector('#outputs .bad')`)
	_ = n.server.Close()
	b.await(`!document.querySelector('#failure').hidden`)
}

func TestTheTokenOpensThePage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first-token-0123456789")
	var c config.Common
	if err := settings.Load(map[string]string{"REMORA_LISTEN_TOKEN_FILE": path}, &c); err != nil {
		t.Fatal(err)
	}
	n := serve(t, 10, c.Listener)
	b := open(t, n.url)
	b.accessible("the form")
	b.write("token", "wrong-token-0123456789"+kb.Enter)
	b.await(`document.querySelector('[role=alert]')?.textContent.includes('not the token')`)
	b.accessible("the form after a wrong token")
	b.write("token", "first-token-0123456789"+kb.Enter)
	b.await(loaded)
	if at := js[string](b, `location.href + document.cookie`); strings.Contains(at, "token") || at != n.url {
		t.Fatalf("the page is at %s", at)
	}
	cookies := chromiumCookies(b)
	if len(cookies) != 1 || !cookies[0].HTTPOnly || cookies[0].SameSite != network.CookieSameSiteStrict {
		t.Fatalf("%+v", cookies)
	}
	write("second-token-0123456789")
	b.await(`document.querySelector('#token')`)
	b.write("token", "second-token-0123456789"+kb.Enter)
	b.await(loaded)
	b.call(`document.querySelector('#logout button').click()`)
	b.await(`document.querySelector('#token')`)
}

// All of it is there with a keyboard alone.
func TestKeyboard(t *testing.T) {
	b := open(t, serve(t, 200, config.Listener{}).url)
	b.await(loaded)
	b.do(chromedp.KeyEvent(kb.Tab))
	if first := js[string](b, `document.activeElement.textContent`); first != "Skip to the content" {
		t.Fatalf("first comes %q", first)
	}
	reached := map[string]bool{}
	for range 40 {
		b.do(chromedp.KeyEvent(kb.Tab))
		reached[js[string](b, `(() => { const e = document.activeElement; return e.id || e.dataset.column || e.tagName })()`)] = true
	}
	for _, want := range []string{"language", "theme", "search", "state", "output", "rows", "container", "lagBytes", "A"} {
		if !reached[want] {
			t.Errorf("%s is not reached: %v", want, reached)
		}
	}
	b.call(`document.querySelector('#rows tbody a').focus()`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.await(`document.querySelectorAll('#details-rows li').length > 0 && document.activeElement.id === 'main'`)
}

func TestChinese(t *testing.T) {
	b := open(t, serve(t, 200, config.Listener{}).url)
	b.await(loaded)
	b.choose("language", "zh")
	b.await(`document.documentElement.lang === 'zh-CN' && document.querySelector('h1').textContent === '日志流向'`)
	if states := b.column("状态"); states[0] != "声明被拒" {
		t.Fatalf("%q", states[0])
	}
	b.accessible("Chinese")
	b.do(chromedp.Reload())
	b.await(`document.querySelector('h1').textContent === '日志流向'`)
	english := js[[]string](b, `[...document.querySelectorAll('[data-text]')].filter(e => /^[A-Za-z ]{4,}$/.test(e.textContent) && e.textContent !== 'Remora').map(e => e.textContent)`)
	if len(english) > 0 {
		t.Fatalf("still English: %q", english)
	}
}

// At 400 % nothing but tables has to be scrolled to the side, and in both themes, on both pages, there are no findings.
func TestAccessibleInBothThemesAndAtFourHundredPercent(t *testing.T) {
	n := serve(t, 200, config.Listener{})
	for _, theme := range []string{"light", "dark"} {
		b := open(t, n.url, prefers(theme))
		b.await(loaded)
		background := js[string](b, `getComputedStyle(document.body).backgroundColor`)
		if white := background == "rgb(255, 255, 255)"; white != (theme == "light") {
			t.Errorf("%s: the background is %s", theme, background)
		}
		for _, size := range []step{screen(1280, 900, 1), screen(320, 256, 4)} {
			b.do(size)
			for _, at := range []string{"", "#/container/" + url.PathEscape("shop/web-11/nginx"), "#/container/" + url.PathEscape("shop/web-37/nginx")} {
				b.do(chromedp.Navigate(n.url + at))
				b.await(loaded + ` || document.querySelectorAll('#details-rows li').length > 0`)
				b.accessible(theme + " " + at)
				if wide := js[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
					t.Errorf("%s %s: %d pixels to the side", theme, at, wide)
				}
			}
		}
	}
	b := open(t, n.url, prefers("light"))
	b.await(loaded)
	b.choose("theme", "dark")
	b.await(`getComputedStyle(document.body).backgroundColor !== 'rgb(255, 255, 255)'`)
	b.do(chromedp.Reload())
	b.await(`getComputedStyle(document.body).backgroundColor !== 'rgb(255, 255, 255)'`)
}

// The pictures in the documentation are made with IMAGES=1.
func TestPictures(t *testing.T) {
	n := serve(t, 200, config.Listener{})
	n.harmless = true
	for _, theme := range []string{"light", "dark"} {
		for name, at := range map[string]string{"status": "", "container": "#/container/" + url.PathEscape("shop/web-11/nginx")} {
			b := open(t, n.url+at, prefers(theme), screen(1280, 720, 1))
			b.await(loaded + ` || document.querySelectorAll('#details-rows li').length > 0`)
			if os.Getenv("IMAGES") != "" {
				b.call(`new Promise(r => setTimeout(() => r(0), 4500))`) // rates need a second answer
			}
			picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			if err != nil {
				t.Fatal(err)
			}
			if len(picture) < 10_000 {
				t.Errorf("%s-%s is empty", name, theme)
			}
			if os.Getenv("IMAGES") == "" {
				continue
			}
			if err := os.WriteFile("../../docs/images/"+name+"-"+theme+".png", picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
