"""The law of the page server: what is listed, to those who know the token, with every header, and nothing else."""

import hashlib
import json
import os
import socket
import sys
import threading

import pytest

from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError
from edgedraft.runtime.bundle.manifest import FileEntry
from edgedraft.runtime.serving import guard
from edgedraft.runtime.serving.guard import HEADERS, MAX_POST_BYTES, below_token, new_token
from edgedraft.runtime.serving.listening import listen
from edgedraft.runtime.serving.page_server import Offer, PageServer
from edgedraft.runtime.serving.site import Site, listed_files, page_files

TOKEN = "the-right-token-of-22x"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self'; "
    "style-src 'self'; img-src 'self' data:; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
WEIGHTS = bytes(range(256)) * 1000
SUM = hashlib.sha256(WEIGHTS).hexdigest()


def entry_of(content: bytes) -> FileEntry:
    return FileEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A page, a bundle, and secrets beside both."""
    root = tmp_path_factory.mktemp("served")
    page, bundle = root / "page", root / "bundle"
    for path in (page / "assets", bundle / "target"):
        path.mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html><title>x</title>")
    (page / "assets" / "page.js").write_text("export {}")
    (page / "assets" / "engine.wasm").write_bytes(b"\0asm")
    (bundle / "target" / "weights.data").write_bytes(WEIGHTS)
    for secret in (root / "secret.txt", bundle / "unlisted.txt"):
        secret.write_text("SECRET")
    os.symlink(root / "secret.txt", bundle / "link.txt")
    (bundle / "changed.bin").write_bytes(b"longer than it was")
    return root


@pytest.fixture(scope="module")
def posted():
    return []


@pytest.fixture(scope="module")
def site(folder, posted):
    def take(data):
        if data == "refuse":
            raise EdgedraftError("results/probe: no", got="refuse\nme", remedy="try\x00again")
        posted.append(data)

    listed = {
        "target/weights.data": entry_of(WEIGHTS),
        "link.txt": entry_of(b"SECRET"),
        "changed.bin": entry_of(b"short"),
        "../secret.txt": entry_of(b"SECRET"),
        "gone.bin": entry_of(b""),
    }
    return Site(
        files={**page_files(folder / "page"), **listed_files(folder / "bundle", listed, "bundle/")},
        texts={"session.json": b'{"bundle": "bundle/"}'},
        takers={"results/probe": take},
    )


@pytest.fixture(scope="module")
def server(serving, site):
    with serving(site) as running:
        yield running


def guarded(answer) -> bool:
    """Every security header, once, as it must be."""
    return all(answer.headers.get(name.lower()) == value for name, value in HEADERS)


# --- what is there ---------------------------------------------------------------------------------------------------


def test_the_headers_are_those_of_an_isolated_page_that_loads_nothing_from_elsewhere():
    assert dict(HEADERS) == {
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


@pytest.mark.parametrize(
    ("path", "kind", "kept"),
    [
        ("", "text/html; charset=utf-8", "no-cache"),
        ("index.html", "text/html; charset=utf-8", "no-cache"),
        ("assets/page.js", "text/javascript; charset=utf-8", "no-cache"),
        ("assets/engine.wasm", "application/wasm", "no-cache"),
        ("session.json", "application/json", "no-store"),
        ("bundle/target/weights.data", "application/octet-stream", "no-store"),
        ("session.json?x=1", "application/json", "no-store"),
    ],
)
def test_what_is_listed_is_served_with_its_type(server, path, kind, kept):
    answer = server.ask(path)
    assert (answer.status, answer.headers["content-type"], answer.headers["cache-control"]) == (200, kind, kept)
    assert guarded(answer)
    assert "server" not in answer.headers


def test_a_file_comes_whole_with_its_sum_as_its_tag(server):
    answer = server.ask("bundle/target/weights.data")
    assert answer.body == WEIGHTS
    assert answer.headers["etag"] == f'"{SUM}"'
    assert answer.headers["content-length"] == str(len(WEIGHTS))
    head = server.ask("bundle/target/weights.data", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(WEIGHTS)))
    assert server.ask("session.json", "HEAD").body == b""


def test_what_the_browser_has_already_is_not_sent_again(server):
    answer = server.ask("bundle/target/weights.data", If_None_Match=f'"{SUM}"')
    assert (answer.status, answer.body) == (304, b"")
    assert guarded(answer)
    assert server.ask("bundle/target/weights.data", If_None_Match='"other"').status == 200


# --- ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("0-99", 0, 100), ("1000-", 1000, len(WEIGHTS)), ("-5", len(WEIGHTS) - 5, len(WEIGHTS)), ("7-7", 7, 8)],
)
def test_a_range_is_exactly_those_bytes(server, asked, start, end):
    answer = server.ask("bundle/target/weights.data", Range=f"bytes={asked}")
    assert (answer.status, answer.body) == (206, WEIGHTS[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(WEIGHTS)}"
    assert answer.headers["etag"] == f'"{SUM}"'
    assert guarded(answer)


def test_a_range_of_a_file_that_changed_is_the_whole_file(server):
    same = server.ask("bundle/target/weights.data", Range="bytes=5-9", If_Range=f'"{SUM}"')
    other = server.ask("bundle/target/weights.data", Range="bytes=5-9", If_Range='"other"')
    assert (same.status, same.body) == (206, WEIGHTS[5:10])
    assert (other.status, other.body) == (200, WEIGHTS)


def test_ranges_outside_are_refused_with_the_size(server):
    answer = server.ask("bundle/target/weights.data", Range=f"bytes={len(WEIGHTS)}-")
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{len(WEIGHTS)}")
    assert guarded(answer)


@pytest.mark.parametrize("asked", ["bytes=9-5", "bytes=x-y", "lines=0-5", "bytes"])
def test_ranges_that_are_none_are_refused(server, asked):
    answer = server.ask("bundle/target/weights.data", Range=asked)
    assert answer.status == 400
    assert guarded(answer)


def test_several_ranges_come_in_parts(server):
    answer = server.ask("bundle/target/weights.data", Range="bytes=0-3,1000-1003")
    assert answer.status == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert WEIGHTS[:4] in answer.body and WEIGHTS[1000:1004] in answer.body


# --- what is not there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "bundle/unlisted.txt",
        "bundle/../secret.txt",
        "bundle/%2e%2e/secret.txt",
        "bundle/..%2fsecret.txt",
        "bundle/%2e%2e%2fsecret.txt",
        "bundle/%252e%252e/secret.txt",
        "bundle/..\\secret.txt",
        "bundle/..%5csecret.txt",
        "bundle/link.txt",
        "bundle/changed.bin",
        "bundle/gone.bin",
        "bundle/target/weights.data%00",
        "bundle/target/weights.data%00.png",
        "bundle/target",
        "bundle//target/weights.data",
        "bundle/./target/weights.data",
        "bundle/target/weights.data/",
        "../page/index.html",
        "//etc/passwd",
        "/etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "INDEX.HTML",
        "results",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_outside_the_list_is_served(server, folder, path, method):
    for target in (f"/{TOKEN}/{path}", f"/{path}"):
        answer = server.ask(target, method)
        assert answer.status in (403, 404)
        assert b"SECRET" not in answer.body
        assert guarded(answer)


def test_a_link_put_in_a_files_place_leads_nowhere(serving, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "file.bin").write_bytes(b"honest")
    (tmp_path / "outside.bin").write_bytes(b"SECRET")
    site = Site(files=listed_files(inside, {"file.bin": entry_of(b"honest")}, ""))
    with serving(site) as running:
        assert running.ask("file.bin").body == b"honest"
        (inside / "file.bin").unlink()
        os.symlink(tmp_path / "outside.bin", inside / "file.bin")
        answer = running.ask("file.bin")
        assert answer.status == 404
        assert answer.body == b"the file was changed after edgedraft started: start it again\n"


@pytest.mark.parametrize("name", ["\\x00", "\x00", "bundle/\x01", "%zz", "a b"])
def test_what_is_not_http_is_refused_with_the_headers_too(server, name):
    request = f"GET /{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head, _, _ = server.raw(request.encode()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 4")
    assert f"Content-Security-Policy: {POLICY}".lower().encode() in head.lower()
    head = server.raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert f"Content-Security-Policy: {POLICY}".lower().encode() in head.lower()


# --- the token -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/favicon.ico",
        "/session.json",
        "/wrong/session.json",
        f"/{TOKEN[:-1]}/session.json",
        f"/{TOKEN}x/session.json",
        f"/{TOKEN.upper()}/session.json",
        f"/{TOKEN}",
        "//the-right-token-of-22x/session.json",
        "/x/the-right-token-of-22x/session.json",
        "/%00/session.json",
        "/%ff%fe/session.json",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE"])
def test_without_the_token_there_is_nothing(server, posted, target, method):
    before = len(posted)
    answer = server.ask(target, method, b"{}" if method == "POST" else b"")
    assert answer.status == 403
    assert guarded(answer)
    assert len(posted) == before
    if method != "HEAD":
        assert answer.body == b"open the whole address that edgedraft printed\n"


@pytest.mark.parametrize("target", [f"http://127.0.0.1/{TOKEN}/session.json", f"{TOKEN}/session.json", "*"])
def test_targets_that_are_no_path_lead_nowhere(server, target):
    answer = server.raw(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")


def test_a_request_that_names_another_host_gets_the_same(server):
    for named in ("evil.example", "", "127.0.0.1:1", "evil.example/the-right-token-of-22x"):
        one, other = server.ask("", Host=named), server.ask("")
        assert (one.status, one.body, one.headers.keys()) == (200, other.body, other.headers.keys())
        assert not any("evil" in value for value in one.headers.values())
        assert server.ask("/x/", Host=named, X_Forwarded_Host="evil", X_Forwarded_Prefix="/the").status == 403


def test_the_token_is_compared_in_constant_time(monkeypatch):
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(guard.hmac, "compare_digest", compare)
    assert below_token("/abc/x/y", "abc") == "x/y"
    assert below_token("/abd/x", "abc") is None
    assert below_token("/é/x", "abc") is None
    assert compared == [(b"abc", b"abc"), (b"abd", b"abc"), ("é".encode(), b"abc")]


def test_tokens_are_new_and_fit_an_address():
    tokens = {new_token() for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(each) == 22 and each.replace("-", "a").replace("_", "a").isalnum() for each in tokens)


# --- posts -----------------------------------------------------------------------------------------------------------


def test_json_is_taken_and_handed_over(server, posted):
    answer = server.ask("results/probe", "POST", json.dumps({"steps": [1, 2.5, "ü"]}).encode())
    assert (answer.status, answer.body) == (204, b"")
    assert guarded(answer)
    assert posted[-1] == {"steps": [1, 2.5, "ü"]}


def chunked(body: bytes, size: int = 60_000) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_a_post_of_exactly_the_limit_is_taken_and_one_more_byte_is_not(server, posted):
    for extra, status in ((0, 204), (1, 413)):
        body = json.dumps("x" * (MAX_POST_BYTES - 2 + extra)).encode()
        assert len(body) == MAX_POST_BYTES + extra
        before = len(posted)
        told = server.ask("results/probe", "POST", body)
        untold = server.ask("results/probe", "POST", chunked(body), Transfer_Encoding="chunked")
        assert (told.status, untold.status) == (status, status)
        assert guarded(told) and guarded(untold)
        assert len(posted) == before + (2 if status == 204 else 0)
    assert untold.body == b"expected at most 1,048,576 bytes\n"


def test_a_length_that_is_too_large_is_refused_before_anything_comes(server):
    lines = f"POST /the-right-token-of-22x/results/probe HTTP/1.1\r\nHost: x\r\nContent-Length: {10**9}\r\n"
    answer = server.raw(f"{lines}Connection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"{", "results: not valid JSON, got Expecting property name enclosed in double quotes: line 1 column 2"),
        (b"", "results: not valid JSON, got Expecting value: line 1 column 1 (char 0)"),
        (b"\xff\xfe\xff", "results: not valid JSON, got 'utf-"),
        (b"[NaN]", "results: not valid JSON, got NaN is no JSON number"),
        (b"-Infinity", "results: not valid JSON, got -Infinity is no JSON number"),
        (b"[" * 500_000, "results: not valid JSON, got values nested too deeply"),
        (b"9" * 100_000, "results: not valid JSON, got Exceeds the limit"),
        (b'"refuse"', "results/probe: no, got refuse\\nme - try\\x00again"),
        (b'"\\ud800"', "results: not valid JSON, got half of a surrogate pair"),
        (b'{"\\ud800": 1}', "results: not valid JSON, got half of a surrogate pair"),
        (b'"\xed\xa0\x80"', "results: not valid JSON, got 'utf-8' codec can't decode"),
        (b"[" * 900 + b"]" * 900, "results: not valid JSON, got values nested too deeply"),
        (b"[1e999]", "results: not valid JSON, got '1e999' does not fit a double"),
        (b'{"a": 1, "a": 2}', "results: not valid JSON, got two values of the key 'a'"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_one_line(server, posted, body, line):
    before = len(posted)
    answer = server.ask("results/probe", "POST", body, Content_Length=str(len(body)))
    assert answer.status == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    text = answer.body.decode()
    assert text.startswith(line)
    assert text.count("\n") == 1 and text.endswith("\n") and len(text) <= 501
    assert guarded(answer)
    assert len(posted) == before


def test_what_is_announced_as_something_else_is_refused(server, posted):
    before = len(posted)
    answer = server.ask("results/probe", "POST", b"{}", Content_Type="text/plain")
    assert (answer.status, answer.body) == (415, b"expected application/json\n")
    assert guarded(answer)
    assert len(posted) == before
    assert server.ask("results/probe", "POST", b"{}", Content_Type="application/json; charset=utf-8").status == 204


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("session.json", "POST", "GET, HEAD"),
        ("", "DELETE", "GET, HEAD"),
        ("bundle/target/weights.data", "PUT", "GET, HEAD"),
        ("results/probe", "GET", "POST"),
        ("results/probe", "OPTIONS", "POST"),
    ],
)
def test_other_methods_are_not_allowed(server, path, method, allowed):
    answer = server.ask(path, method)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert guarded(answer)


def test_posts_are_taken_one_after_the_other(serving):
    inside, most = [0], [0]
    lock = threading.Lock()

    def take(data):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        threading.Event().wait(0.02)
        with lock:
            inside[0] -= 1

    with serving(Site(files={}, takers={"r": take})) as running:
        threads = [threading.Thread(target=running.ask, args=("r", "POST", b"1")) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == [1]


def test_our_own_mistakes_are_answered_with_the_headers_too(serving):
    def broken(data):
        raise RuntimeError("our bug")

    with serving(Site(files={}, takers={"r": broken})) as running:
        answer = running.ask("r", "POST", b"1")
        assert answer.status == 500
        assert guarded(answer)
        assert b"our bug" not in answer.body


def test_a_client_that_leaves_in_the_middle_of_a_post_leaves_nothing(server, posted):
    before = len(posted)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /the-right-token-of-22x/results/probe HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        )
    assert server.ask("session.json").status == 200
    assert len(posted) == before


def test_a_websocket_is_not_spoken(server):
    answer = server.ask(
        "session.json",
        Connection="Upgrade, close",
        Upgrade="websocket",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        Sec_WebSocket_Version="13",
    )
    assert answer.status == 200
    assert guarded(answer)


@pytest.mark.parametrize("module", ["starlette", "uvicorn"])
def test_without_its_packages_the_extra_is_named(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with listen(0) as listener, pytest.raises(MissingExtraError) as error:
        PageServer(Offer(site=Site(files={}), token=TOKEN), listener)
    assert str(error.value) == f'{module} is not installed - pip install "edgedraft[serve]"'


# --- ending ----------------------------------------------------------------------------------------------------------


def test_the_answer_to_the_post_that_ends_the_server_still_comes(serving, eventually):
    servers = []
    with serving(Site(files={}, takers={"r": lambda data: servers[0].stop()})) as running:
        servers.append(running.server)
        assert running.ask("r", "POST", b"1").status == 204

        def ended() -> bool:
            try:
                running.ask("r")
            except OSError:
                return True
            return False

        eventually(ended)
