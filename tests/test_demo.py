"""The demo: its answers against the gallery's, its server against what visitors may send, its page in a real browser."""

import json
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from browser import CHROMEDRIVER, CHROMIUM, Browser
from conftest import tiny_config

from modeling_motionpatch import MotionPatchFeatureExtractor, MotionPatchModel, MotionPatchProcessor
from modeling_motionpatch.data.generated import generate_motion, generate_motions
from modeling_motionpatch.demo import DemoApp, DemoError, build_app
from modeling_motionpatch.demo.uploads import UploadError, read_upload, shown_name
from modeling_motionpatch.gallery import GalleryError, MotionGallery
from modeling_motionpatch.io import Motion, save_motion


BVH = """HIERARCHY
ROOT Hips
{
 OFFSET 0 0 0
 CHANNELS 3 Xrotation Yrotation Zrotation
 JOINT Spine
 {
  OFFSET 0 10 x
"""


@pytest.fixture(scope="module")
def clips():
    return generate_motions(12, ["smpl22", "kit21", "mixamo"], split="test")


@pytest.fixture(scope="module")
def app(tokenizer, clips) -> DemoApp:
    torch.manual_seed(0)
    model = MotionPatchModel(tiny_config()).eval()
    processor = MotionPatchProcessor(MotionPatchFeatureExtractor(normalization="none"), tokenizer)
    ids, captions = [clip.id for clip in clips], [clip.captions for clip in clips]
    gallery = MotionGallery.build(model, processor, clips, ids=ids, captions=captions, progress=False)
    return build_app(gallery, max_upload_mb=1)


@pytest.fixture(scope="module")
def server(app):
    with app.start(port=0) as running:
        yield running


@pytest.fixture
def walk(tmp_path):
    clip = generate_motion("walk", rng=1)
    return save_motion(tmp_path / "walk.npz", Motion(clip.joints, clip.fps, clip.skeleton)) or tmp_path / "walk.npz"


def ask(server, path, body=None, kind="application/json", **headers):
    """(status, answer, headers)."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(server.url + path, body, {"Content-Type": kind, **headers})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as response:
            return response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


# --------------------------------------------------------------------------------------------------------------------
# Answers


def test_answers_are_the_gallerys(app, clips):
    answer = app.search_text("a person walks", 5)
    expected = app.gallery.search("a person walks", 5)
    assert [hit["id"] for hit in answer["hits"]] == [hit.id for hit in expected]
    for shown, hit in zip(answer["hits"], expected):
        assert shown["score"] == pytest.approx(hit.score, abs=1e-4)
        assert (shown["start"], shown["end"], shown["caption"]) == (hit.start, hit.end, hit.caption)
        clip = next(clip for clip in clips if clip.id == hit.id)
        assert abs(len(shown["clip"]["frames"]) / shown["clip"]["fps"] - (hit.end - hit.start)) < 0.06
        assert len(shown["clip"]["frames"][0]) == 3 * clip.skeleton.num_joints
    json.dumps(answer, allow_nan=False)


def test_a_text_is_never_a_path(app, walk):
    """`MotionGallery.search` opens what ends like a motion file; a visitor's text has to stay a text."""
    as_text = app.search_text(str(walk), 3)
    as_file = app.gallery.search(str(walk), 3)
    assert [hit["score"] for hit in as_text["hits"]] != pytest.approx([hit.score for hit in as_file], abs=1e-3)
    assert app.search_text("/etc/passwd.bvh", 1)["hits"]  # read as words, found or not


def test_an_uploaded_motion_is_searched_for(app, walk):
    answer = app.search_files([("C:\\my files\\../walk.npz", walk.read_bytes())], 4)
    assert [hit["id"] for hit in answer["hits"]] == [hit.id for hit in app.gallery.search(str(walk), 4)]
    assert answer["caption"].startswith("walk.npz: 1.8 s at 20 fps") and answer["clip"]["frames"]


def test_a_motion_of_the_gallery_is_found_by_itself_but_not_like_itself(app, clips, tmp_path):
    save_motion(tmp_path / "same.npz", Motion(clips[0].joints, clips[0].fps, clips[0].skeleton))
    best = app.search_files([("same.npz", (tmp_path / "same.npz").read_bytes())])["hits"][0]
    assert best["id"] == clips[0].id and best["score"] == pytest.approx(1, abs=1e-3)
    similar = app.search_similar(best["row"], 4)["hits"]
    assert [hit["id"] for hit in similar] == [hit.id for hit in app.gallery.similar(clips[0].id, 4)]
    assert clips[0].id not in [hit["id"] for hit in similar]


def test_a_gallery_without_motions_still_answers(app):
    rows = np.eye(3, 16, dtype=np.float32)
    gallery = MotionGallery.from_embeddings(rows, ["a", "b", "c"], model=app.model, processor=app.processor)
    hits = build_app(gallery).search_text("a person walks")["hits"]
    assert (
        len(hits) == 3 and hits[0]["clip"] is None and "not at hand" in hits[0]["missing"] and hits[0]["start"] is None
    )


def test_without_a_gallery_generated_motions_are_indexed(app, monkeypatch):
    monkeypatch.setattr("modeling_motionpatch.demo.app.DEMO_CLIPS", 4)
    made = build_app(model=app.model, processor=app.processor)
    assert len(made.gallery) >= 4 and made.examples
    assert all(hit["clip"] for hit in made.search_text("a person walks")["hits"])


def test_another_model_is_refused(app):
    other = MotionPatchModel(tiny_config(projection_dim=8)).eval()
    with pytest.raises(GalleryError, match="8 wide"):
        build_app(app.gallery, other, app.processor)
    with pytest.raises(DemoError, match="max_upload_mb"):
        build_app(app.gallery, max_upload_mb=0)


# --------------------------------------------------------------------------------------------------------------------
# What visitors send


@pytest.mark.parametrize(
    "files, message",
    [
        ([("bad.bvh", BVH.encode())], r"bad\.bvh.*line 8"),
        ([("noise.npz", bytes(range(256)) * 8)], "noise.npz"),
        ([("noise.npy", b"\x93NUMPY" + bytes(64))], "noise.npy"),
        ([("empty.bvh", b"")], "file is empty"),
        ([("photo.png", b"\x89PNG")], r"photo.png: motion files end in .*\.bvh"),
        ([("no_suffix", b"x")], "motion files end in"),
        ([("a.bvh", b"x"), ("b.bvh", b"x")], "Choose one motion file"),
        ([("a.asf", b"x")], "Choose one motion file beside the .asf"),
        ([], "Choose one motion file"),
        ([("a.bvh", b"x")] * 3, "Choose one motion file"),
        ([("walk.amc", b":FULLY-SPECIFIED\n:DEGREES\n1\nroot 0 0 0 0 0 0\n")], r"walk\.amc"),
    ],
)
def test_what_is_no_motion_is_refused_by_the_visitors_name(files, message):
    with pytest.raises(UploadError, match=message) as caught:
        read_upload(files)
    assert "/tmp" not in str(caught.value) and "motionpatch-" not in str(caught.value)


def test_names_are_only_shown():
    assert shown_name("../../etc/passwd.bvh") == "passwd.bvh"
    assert shown_name("C:\\x\\<img>.npz") == "_img_.npz"
    assert len(shown_name("a" * 500 + ".bvh")) == 80 and shown_name("a" * 500 + ".bvh").endswith(".bvh")
    assert shown_name("") == "upload" and "\n" not in shown_name("a\nb.bvh")


@pytest.mark.parametrize(
    "path, body, kind, status, message",
    [
        ("text", {"text": ""}, "application/json", 400, "Type what a person does"),
        ("text", {"text": 5}, "application/json", 400, "Type what"),
        ("text", {"text": "x" * 1001}, "application/json", 400, "at most 1000"),
        ("text", {"text": "a", "k": 1000}, "application/json", 400, "from 1 to 24"),
        ("text", {"text": "a", "k": True}, "application/json", 400, "from 1 to 24"),
        ("text", b'{"text": "a \\ud800"}', "application/json", 400, "characters that are none"),
        ("text", b"[1]", "application/json", 400, "JSON object"),
        ("text", b"\xff", "application/json", 400, "JSON object"),
        ("text", b"[" * 5000, "application/json", 400, "JSON object"),
        ("text", {"text": "a"}, "text/plain", 415, "must be application/json"),
        ("text", b'"' + b"x" * 20000, "application/json", 413, "too much"),
        ("similar", {"row": -1}, "application/json", 400, "no row"),
        ("similar", {"row": "0"}, "application/json", 400, "no row"),
        ("similar", {}, "application/json", 400, "no row"),
        ("motion?name=a.bvh&size=3", b"xyz1", "application/octet-stream", 400, "cut off"),
        ("motion?name=a.bvh&size=-1", b"", "application/octet-stream", 400, "cut off"),
        ("motion?name=a.bvh&size=x", b"xyz", "application/octet-stream", 400, "not numbers"),
        ("motion?name=a.bvh&size=3", b"xyz", "multipart/form-data", 415, "octet-stream"),
        ("motion?name=a.bvh&size=1100000", bytes(1100000), "application/octet-stream", 413, "at most 1 MB"),
        ("file?path=/etc/passwd", {}, "application/json", 404, "no such query"),
    ],
)
def test_bad_queries_get_a_reason(server, path, body, kind, status, message):
    got, answer, _ = ask(server, path, body, kind)
    assert got == status and message in json.loads(answer)["error"]


def test_only_the_pages_own_files_are_served(server):
    for path, kind in (
        ("", "text/html"),
        ("demo.js", "javascript"),
        ("player.js", "javascript"),
        ("style.css", "css"),
    ):
        status, content, headers = ask(server, path)
        assert status == 200 and kind in headers["Content-Type"] and content
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert b"http://" not in content.replace(b"http://www.w3.org", b"") and b"https://" not in content
    for path in ("../app.py", "%2e%2e/app.py", "static/demo.js", "etc/passwd", "demo.html", "//etc/passwd"):
        assert ask(server, path)[0] == 404, path


def test_other_sites_are_refused_and_the_address_is_local(server):
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "", Host="evil.example")[0] == 403
    assert ask(server, "", Host="[")[0] == 403
    assert ask(server, "text", {"text": "a"}, Origin="http://evil.example")[0] == 403
    assert ask(server, "text", {"text": "a"}, Origin=server.url.rstrip("/"))[0] == 200


def test_a_taken_port_is_said(server, app):
    with pytest.raises(DemoError, match=f"port {server.server_address[1]}"):
        app.start(port=server.server_address[1])


def test_a_client_that_goes_away_does_no_harm(server):
    with socket.create_connection(server.server_address) as connection:
        connection.sendall(
            b"POST /text HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
    assert ask(server, "info")[0] == 200


def test_many_visitors_at_once_are_all_answered(server):
    """More than the connections served at a time, and than those that a server queues by default."""
    with ThreadPoolExecutor(48) as pool:
        answers = list(
            pool.map(lambda number: ask(server, "/text", {"text": f"a person walks {number}"})[0], range(48))
        )
    assert answers == [200] * 48


def test_errors_of_our_own_are_not_shown(server, app, monkeypatch, caplog):
    monkeypatch.setattr(app, "search_text", lambda *_: 1 / 0)
    status, answer, _ = ask(server, "text", {"text": "a"})
    assert status == 500 and b"division" not in answer and "division by zero" in caplog.text


# --------------------------------------------------------------------------------------------------------------------
# In a browser


@pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver")
def test_a_visitor_types_searches_uploads_and_sees(server, app, walk, tmp_path):
    bad, large = tmp_path / "bad.bvh", tmp_path / "large.bvh"
    bad.write_text(BVH)
    large.write_bytes(bytes(1_100_000))
    error = "document.getElementById('error')"
    with Browser(tmp_path / "profile") as browser:
        browser.open(server.url)
        browser.wait_until("document.querySelectorAll('#examples button').length")
        assert browser.run("return document.querySelectorAll('#examples button').length") == len(app.examples)
        browser.type("#text", "a person walks")
        browser.click("#go")
        browser.wait_until("document.querySelectorAll('#hits canvas').length == 8")
        shown = browser.run("return [...document.querySelectorAll('#hits .hit')].map(hit => hit.innerText)")
        for text, hit in zip(shown, app.search_text("a person walks")["hits"], strict=True):
            assert hit["caption"] in text and f"{hit['score']:.3f}" in text and hit["id"] in text
            assert f"{hit['start']:.1f} – {hit['end']:.1f} s" in text
        before = browser.run("return document.querySelector('#hits .controls .time').textContent")
        browser.wait_until(f"document.querySelector('#hits .controls .time').textContent != {before!r}")  # it moves

        browser.type("#files", str(bad))
        browser.wait_until(f"!{error}.hidden")
        assert "bad.bvh" in browser.run(f"return {error}.textContent")
        assert "line 8" in browser.run(f"return {error}.textContent")
        assert browser.run("return document.querySelectorAll('#hits .hit').length") == 0
        browser.type("#files", str(large))
        browser.wait_until(f"{error}.textContent.includes('too much')")

        browser.type("#files", str(walk))
        browser.wait_until("document.querySelectorAll('#query canvas').length == 1")
        assert browser.run(f"return {error}.hidden")
        best = browser.run("return document.querySelector('#hits .id').textContent")
        assert best == app.search_files([("walk.npz", walk.read_bytes())])["hits"][0]["id"]
        browser.click("#hits .more")
        browser.wait_until("document.getElementById('status').textContent.includes('motions like')")
        browser.click("#examples button")
        browser.wait_until(
            "document.getElementById('status').textContent.includes(document.getElementById('text').value)"
        )
        loaded = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert loaded and all(name.startswith(server.url) for name in loaded)
        wide = "document.getElementById('title').textContent = 'x'.repeat(400); "
        assert browser.run(wide + "return document.documentElement.scrollWidth <= innerWidth")  # a long name is broken
        complaints = [line for line in browser.errors() if "400 (Bad Request)" not in line]
        assert complaints == []
