"""Models of sherpa-onnx that fit in a few kilobytes and do work: to them a word is a tone. Written when tests run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

RATE = 16_000
PIECES = ("<blk>", "▁RUN", "▁TEST", "S", "▁STOP", "▁AT", "LA")
"""By their number. A tone stands for each, but for the first."""
TONES: Mapping[str, float] = {"▁RUN": 440, "▁TEST": 760, "S": 1_200, "▁STOP": 1_800, "▁AT": 2_700, "LA": 4_000}
"""Hz."""
_MELS = 80
_CHUNK = 8
"""Frames of 10 ms that are listened to at once; four of them make one of the encoder's."""
_LOUDER = 4.0
"""Than the mean over all frequencies, in nats, is what counts as a tone."""
_SHARPNESS = 6.0
_NUMBERS = ("y", "x_lens", "log_probs_len")
"""Whole ones."""


def sound(*said: str | float, level: float = 0.3) -> bytes:
    """16-bit mono of `RATE`: a fifth of a second for each piece, and seconds of near silence for each number."""
    parts = [_tone(TONES[part], level) if isinstance(part, str) else np.zeros(int(part * RATE)) for part in said]
    samples = np.concatenate(parts) * 32_767
    hiss = np.random.default_rng(7).standard_normal(len(samples)) * 3
    return np.clip(np.rint(samples + hiss), -32_768, 32_767).astype("<i2").tobytes()


def _tone(hz: float, level: float) -> NDArray[np.float64]:
    return level * np.sin(2 * np.pi * hz * np.arange(RATE // 5) / RATE)


def transducer(place: Path, *, pieces: Sequence[str] = PIECES) -> Path:
    """A streaming transducer as icefall exports them, of the kind "lstm": for words and for keywords."""
    place.mkdir(parents=True, exist_ok=True)
    size = len(pieces)
    frames = _CHUNK // 4
    listen = [
        helper.make_node("Reshape", ["x", "quarters"], ["split"]),
        helper.make_node("ReduceMean", ["split"], ["mel"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["mel", "ears"], ["loud"]),
        helper.make_node("Add", ["loud", "bias"], ["encoder_out"]),
        helper.make_node("Identity", ["h"], ["next_h"]),
        helper.make_node("Identity", ["c"], ["next_c"]),
    ]
    ears, bias = _ears(pieces)
    state = [1, "N", 1]
    _write(
        place / "encoder.onnx", listen,
        {"x": ["N", _CHUNK, _MELS], "h": state, "c": state},
        {"encoder_out": ["N", frames, size], "next_h": state, "next_c": state},
        {"quarters": np.array([-1, frames, 4, _MELS], dtype=np.int64), "ears": ears, "bias": bias},
        {"model_type": "lstm", "version": "1", "num_encoder_layers": "1", "T": str(_CHUNK),
         "decode_chunk_len": str(_CHUNK), "rnn_hidden_size": "1", "d_model": "1"},
    )  # fmt: skip
    again = (np.eye(size, dtype=np.float32) * -100).astype(np.float32)
    again[0] = 0
    remember = [
        helper.make_node("Gather", ["again", "y"], ["rows"], axis=0),
        helper.make_node("ReduceSum", ["rows", "over"], ["decoder_out"], keepdims=0),
    ]
    _write(
        place / "decoder.onnx", remember, {"y": ["N", 1]}, {"decoder_out": ["N", size]},
        {"again": again, "over": np.array([1], dtype=np.int64)}, {"vocab_size": str(size), "context_size": "1"},
    )  # fmt: skip
    _write(
        place / "joiner.onnx", [helper.make_node("Add", ["encoder_out", "decoder_out"], ["logit"])],
        {"encoder_out": ["N", size], "decoder_out": ["N", size]}, {"logit": ["N", size]}, {},
        {"joiner_dim": str(size)},
    )  # fmt: skip
    _tokens(place, pieces)
    return place


def whole_utterances(place: Path, *, pieces: Sequence[str] = PIECES) -> Path:
    """A model of CTC as icefall exports Zipformers: for utterances that are over."""
    place.mkdir(parents=True, exist_ok=True)
    ears, bias = _ears(pieces)
    nodes = [
        helper.make_node("Transpose", ["x"], ["by_mel"], perm=[0, 2, 1]),
        helper.make_node("AveragePool", ["by_mel"], ["quarters"], kernel_shape=[4], strides=[4]),
        helper.make_node("Transpose", ["quarters"], ["mel"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["mel", "ears"], ["loud"]),
        helper.make_node("Add", ["loud", "bias"], ["biased"]),
        helper.make_node("LogSoftmax", ["biased"], ["log_probs"], axis=-1),
        helper.make_node("Div", ["x_lens", "four"], ["log_probs_len"]),
    ]
    _write(
        place / "model.onnx", nodes, {"x": ["N", "T", _MELS], "x_lens": ["N"]},
        {"log_probs": ["N", "S", len(pieces)], "log_probs_len": ["N"]},
        {"ears": ears, "bias": bias, "four": np.array(4, dtype=np.int64)},
        {"model_type": "zipformer2_ctc", "version": "1", "vocab_size": str(len(pieces))},
    )  # fmt: skip
    _tokens(place, pieces)
    return place


def network(path: Path, metadata: Mapping[str, str]) -> None:
    """A network that does nothing, with what a maker wrote into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, [helper.make_node("Identity", ["x"], ["z"])], {"x": ["N"]}, {"z": ["N"]}, {}, metadata)


def _tokens(place: Path, pieces: Sequence[str]) -> None:
    (place / "tokens.txt").write_text("".join(f"{each} {at}\n" for at, each in enumerate(pieces)), encoding="utf-8")


def _ears(pieces: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How much each frequency speaks for each piece: the one of its tone, against the mean of all."""
    ears = np.zeros((_MELS, len(pieces)), dtype=np.float32)
    bias = np.zeros(len(pieces), dtype=np.float32)
    bias[0] = _LOUDER * _SHARPNESS
    for number, piece in enumerate(pieces):
        if piece in TONES:
            ears[:, number] = -_SHARPNESS / _MELS
            ears[_bin(TONES[piece]), number] += _SHARPNESS
    return ears, bias


def _bin(hz: float) -> int:
    """The nearest of the mel filters that sherpa-onnx has by default: from 20 Hz to 400 Hz below half the rate."""
    low, high, at = (1127 * np.log1p(each / 700) for each in (20, RATE / 2 - 400, hz))
    return round(float((at - low) / ((high - low) / (_MELS + 1)))) - 1


def _write(
    path: Path, nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]], constants: Mapping[str, NDArray[Any]], metadata: Mapping[str, str],
) -> None:  # fmt: skip
    def values(of: Mapping[str, Sequence[int | str]]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, TensorProto.INT64 if name in _NUMBERS else TensorProto.FLOAT, shape)
            for name, shape in of.items()
        ]

    graph = helper.make_graph(
        list(nodes), path.stem, values(inputs), values(outputs),
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    cast(Any, helper).set_model_props(model, dict(metadata))
    path.write_bytes(model.SerializeToString())
