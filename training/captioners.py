"""What writes captions: a template, a model behind an endpoint, or CogVLM2-Caption itself."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import ConfigError, InputError, MissingExtraError, WeightsError
from training.clips import ClipRecord

__all__ = ["Captioner", "CogVlm2Captioner", "EndpointCaptioner", "TemplateCaptioner", "clean_text"]

QUESTION = "Please describe this video in detail."
MAX_CHARACTERS = 2000
MAX_ANSWER_BYTES = 1 << 20
# CogVLM2-Caption was trained on one frame a second, 24 at most.
MAX_FRAMES = 24
COGVLM2_PAD_TOKEN = 128002
CAPTION_REQUIREMENTS = "docker/caption-requirements.txt"

Frames = NDArray[np.uint8]


class Captioner(Protocol):
    """Says what happens in a clip."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the captions, JSON values; others make a new start."""
        ...

    def caption(self, record: ClipRecord, frames_THWC: Frames) -> str:
        """Describe a clip.

        Args:
            record: Its line of `metadata.jsonl`.
            frames_THWC: RGB, uint8 (T, H, W, 3).

        Returns:
            One or more sentences, without the sentence of the slot words.

        Raises:
            InputError: If this clip cannot be described.
        """
        ...


def clean_text(text: str) -> str:
    """Make a caption one line.

    Args:
        text: As a model wrote it.

    Returns:
        The caption, without control characters.

    Raises:
        InputError: If nothing is left, or it is longer than a caption can be.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not 0 < len(line) <= MAX_CHARACTERS:
        raise InputError(
            f"caption must have 1 to {MAX_CHARACTERS} characters, got {len(line)}. "
            "Ask for a shorter one."
        )
    return line


def pick_frames(frames_THWC: Frames, fps: float, limit: int = MAX_FRAMES) -> Frames:
    """Take one frame a second, the first among them.

    Args:
        frames_THWC: RGB, uint8 (T, H, W, 3).
        fps: Their rate.
        limit: At most so many.

    Returns:
        RGB, uint8 (t, H, W, 3).
    """
    step = max(1, round(fps))
    return frames_THWC[::step][:limit]


@dataclasses.dataclass(frozen=True)
class TemplateCaptioner:
    """Fills a sentence with labels.

    Args:
        template: With `{text}` for the caption so far, `{source}`, or columns of the labels.
        labels: Columns by `file_name`.
    """

    template: str
    labels: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The template and the labels."""
        return {"with": "template", "template": self.template, "labels": dict(self.labels)}

    def caption(self, record: ClipRecord, frames_THWC: Frames) -> str:  # noqa: ARG002
        """Fill the template; see `Captioner`."""
        known = {"text": record.text, "source": record.source}
        known |= self.labels.get(record.file_name, {})

        def fill(mark: re.Match[str]) -> str:
            if not known.get(mark[1]):
                raise InputError(
                    f"labels must say {mark[1]!r} of {record.file_name}, got none. Add a line."
                )
            return known[mark[1]]

        return clean_text(re.sub(r"\{(\w+)\}", fill, self.template))


@dataclasses.dataclass(frozen=True)
class EndpointCaptioner:
    """Asks a model behind an OpenAI-compatible endpoint, with frames as pictures.

    Args:
        url: Up to the version, such as `http://gpu-box:8000/v1`.
        model: Its name there.
        question: What is asked.
        max_pictures: Frames that are sent.
        key: Sent as bearer token if not "".
        timeout_sec: For one answer.

    Raises:
        ConfigError: If the URL is none.
    """

    url: str
    model: str
    question: str = QUESTION
    max_pictures: int = 8
    key: str = dataclasses.field(default="", repr=False)
    timeout_sec: float = 120.0

    def __post_init__(self) -> None:
        """Check the URL; urllib would open files too."""
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", self.url):
            raise ConfigError(
                f"url must begin with http:// or https://, got {self.url!r}. "
                "Write it as http://HOST:8000/v1."
            )

    @property
    def settings(self) -> Mapping[str, Any]:
        """Model, question and pictures; not the key."""
        return {
            "with": "endpoint",
            "model": self.model,
            "question": self.question,
            "max_pictures": self.max_pictures,
        }

    def caption(self, record: ClipRecord, frames_THWC: Frames) -> str:
        """Ask; see `Captioner`."""
        pictures = pick_frames(frames_THWC, record.fps, self.max_pictures)
        content = [{"type": "text", "text": self.question}]
        content += [
            {"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in pictures
        ]
        body = {
            "model": self.model,
            "temperature": 0,
            "messages": [{"role": "user", "content": content}],
        }
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_sec) as answer:  # noqa: S310
                document = json.loads(answer.read(MAX_ANSWER_BYTES))
            text = document["choices"][0]["message"]["content"]
        except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            raise InputError(
                f"endpoint must answer as OpenAI's chat completions do, got {error!r}. "
                f"Look at {self.url} and the name of the model."
            ) from error
        if not isinstance(text, str):
            raise InputError(
                f"endpoint must answer with text, got {text!r:.60}. Try another model."
            )
        return clean_text(text)


def _data_url(picture: Frames) -> str:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert done
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"


class CogVlm2Captioner:
    """Runs CogVLM2-Caption, the model that CogVideoX's own captions come from.

    Its code comes with its weights, and runs only when that is allowed.

    Args:
        model: Folder or name of the weights.
        allows_remote_code: Whether the code beside the weights may run here.
        device: Where, such as cuda.
        question: What is asked.
        max_new_tokens: Longest answer.

    Raises:
        ConfigError: If the code may not run.
        WeightsError: If the model cannot be loaded.
        MissingExtraError: If a package of its is missing.
    """

    def __init__(
        self,
        model: str,
        *,
        allows_remote_code: bool = False,
        device: str = "cuda",
        question: str = QUESTION,
        max_new_tokens: int = 2048,
    ) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if not allows_remote_code:
            raise ConfigError(
                f"model {model} must be allowed to bring its own code, got no. "
                "Read that code, then add --allow-remote-code."
            )
        self._torch, self._device = torch, device
        self._name, self._question, self._max_new_tokens = model, question, max_new_tokens
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=True)
            loaded = AutoModelForCausalLM.from_pretrained(
                model, trust_remote_code=True, torch_dtype=dtype
            )
        except ImportError as error:
            raise MissingExtraError(
                f"packages of CogVLM2 must be installed, got {error}. "
                f"Make an environment of its own: pip install -r {CAPTION_REQUIREMENTS}."
            ) from error
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"model must be a folder of CogVLM2-Caption, got {error}. Download it first."
            ) from error
        self._model = loaded.eval().to(device)
        self._dtype = dtype

    @property
    def settings(self) -> Mapping[str, Any]:
        """Model, question and length."""
        return {
            "with": "cogvlm2",
            "model": self._name,
            "question": self._question,
            "max_new_tokens": self._max_new_tokens,
        }

    def caption(self, record: ClipRecord, frames_THWC: Frames) -> str:
        """Ask; see `Captioner`."""
        torch = self._torch
        frames = np.ascontiguousarray(pick_frames(frames_THWC, record.fps))
        video_CTHW = torch.from_numpy(frames).permute(3, 0, 1, 2)
        inputs = self._model.build_conversation_input_ids(
            tokenizer=self._tokenizer,
            query=self._question,
            images=[video_CTHW],
            history=[],
            template_version="chat",
        )
        batch = {
            name: inputs[name].unsqueeze(0).to(self._device)
            for name in ("input_ids", "token_type_ids", "attention_mask")
        }
        batch["images"] = [[inputs["images"][0].to(self._device).to(self._dtype)]]
        with torch.no_grad():
            tokens = self._model.generate(
                **batch,
                max_new_tokens=self._max_new_tokens,
                pad_token_id=COGVLM2_PAD_TOKEN,
                do_sample=False,
            )
        answer = tokens[0, batch["input_ids"].shape[1] :]
        return clean_text(self._tokenizer.decode(answer, skip_special_tokens=True))
