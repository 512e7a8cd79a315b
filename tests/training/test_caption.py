"""Captions from templates and from a server on this machine, and that a stop loses none."""

import http.server
import json
import threading

import cv2
import numpy as np
import pytest

from tavid_core.errors import ConfigError, InputError
from training.caption import PROGRESS_NAME, caption_clips, main
from training.captioners import CogVlm2Captioner, EndpointCaptioner, TemplateCaptioner, clean_text
from training.clips import METADATA_NAME, ClipRecord, read_records, write_frames


@pytest.fixture
def clips(tmp_path):
    mask = np.zeros((32, 48), np.uint8)
    mask[4:9, 4:9] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    lines = []
    for name in ("a", "b", "c"):
        write_frames(tmp_path / f"{name}.mp4", np.zeros((17, 32, 48, 3), np.uint8), 8.0)
        record = ClipRecord(
            file_name=f"{name}.mp4",
            text=f"old {name}",
            fps=8.0,
            mask_file="mask.png",
            source="test",
            licence="CC0-1.0",
        )
        lines.append(record.to_json())
    (tmp_path / METADATA_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def texts(folder):
    return [record.text for record in read_records(folder)]


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as vLLM and others do; what it was asked is kept on the server."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        answer = self.server.answer(len(self.server.asked))
        self.send_response(200 if answer is not None else 500)
        self.end_headers()
        self.wfile.write(answer or b"no")

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        running.asked = []
        running.answer = lambda n: say(f"A person\nlifts mug {n}. ")
        running.url = f"http://127.0.0.1:{running.server_address[1]}/v1"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def say(text):
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


def test_template_is_filled_with_labels(clips):
    labels = clips / "labels.csv"
    labels.write_text("file_name,noun\na.mp4,mug\nb.mp4,box\nc.mp4,can\n")
    words = ["--template", "A person lifts the {noun}.", "--labels", str(labels)]
    assert main([str(clips), "--with", "template", *words]) == 0
    assert texts(clips) == [f"A person lifts the {noun}." for noun in ("mug", "box", "can")]


def test_a_clip_without_label_keeps_its_caption_and_is_told(clips, capsys):
    labels = clips / "labels.csv"
    labels.write_text("file_name,noun\na.mp4,mug\nb.mp4,\n")
    words = ["--template", "Lift the {noun}.", "--labels", str(labels)]
    assert main([str(clips), "--with", "template", *words]) == 3
    assert texts(clips) == ["Lift the mug.", "old b", "old c"]
    assert "labels must say 'noun' of c.mp4" in capsys.readouterr().err


def test_endpoint_is_asked_with_pictures(clips, server, monkeypatch):
    monkeypatch.setenv("MY_KEY", "open sesame")
    words = ["--url", server.url, "--model", "some-vlm", "--key-variable", "MY_KEY"]
    assert main([str(clips), "--with", "endpoint", *words]) == 0
    assert texts(clips) == [f"A person lifts mug {n}." for n in (1, 2, 3)]
    path, key, body = server.asked[0]
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer open sesame", "some-vlm")
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "image_url", "image_url"]
    assert "open sesame" not in repr(EndpointCaptioner(server.url, "m", key="open sesame"))


def stop(*_):
    raise KeyboardInterrupt


def test_a_stop_loses_no_answer(clips, server):
    server.answer = lambda n: say(f"caption {n}") if n < 3 else None

    class Stopping(EndpointCaptioner):
        def caption(self, record, frames_THWC):
            if record.file_name == "c.mp4":
                raise KeyboardInterrupt
            return super().caption(record, frames_THWC)

    with pytest.raises(KeyboardInterrupt):
        caption_clips(clips, Stopping(server.url, "m"))
    assert texts(clips) == ["old a", "old b", "old c"]
    with (clips / PROGRESS_NAME).open("a") as file:
        file.write('{"key": "torn')
    server.answer = lambda n: say("last")
    # A second stop, behind the torn line and after the last answer.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.caption.write_atomically", stop)
        with pytest.raises(KeyboardInterrupt):
            caption_clips(clips, EndpointCaptioner(server.url, "m"))
    assert caption_clips(clips, EndpointCaptioner(server.url, "m")) == []
    assert texts(clips) == ["caption 1", "caption 2", "last"]
    assert len(server.asked) == 3


@pytest.mark.parametrize("answer", [b"{}", b"nonsense", say(None), say("  "), b'{"choices": []}'])
def test_a_wrong_answer_is_told(clips, server, answer):
    server.answer = lambda n: answer
    failures = caption_clips(clips, EndpointCaptioner(server.url, "m"))
    assert len(failures) == 3
    assert all("must" in failure for failure in failures)
    assert texts(clips) == ["old a", "old b", "old c"]


def test_wrong_calls_end_with_2(clips, capsys):
    for words, told in (
        (["--with", "template"], "template must be given"),
        (["--with", "endpoint", "--model", "m", "--url", "file:///etc/passwd"], "url must begin"),
        (["--with", "endpoint", "--url", "http://x"], "model must be named"),
        (["--with", "cogvlm2", "--model", str(clips)], "--allow-remote-code"),
    ):
        assert main([str(clips), *words]) == 2
        assert told in capsys.readouterr().err


def test_remote_code_is_off_by_default():
    with pytest.raises(ConfigError, match="allowed to bring its own code"):
        CogVlm2Captioner("anything")


def test_template_without_any_label_uses_the_caption_so_far(clips):
    assert caption_clips(clips, TemplateCaptioner("{text}, from {source}.")) == []
    assert texts(clips)[0] == "old a, from test."


def test_captions_are_one_line_and_not_endless():
    assert clean_text(" a\n\tb\x00c ") == "a b c"
    with pytest.raises(InputError, match="1 to 2000"):
        clean_text("x" * 2001)
