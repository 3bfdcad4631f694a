#!/usr/bin/env python3
"""Turns folders and files into one C array: plain, gzipped, with a hash of what each holds.

usage: embed.py OUTPUT.c DEPFILE PREFIX=FOLDER|PATH=FILE ...

The same input gives the same bytes. Files whose name begins with a dot are left out.
"""
import gzip
import hashlib
import os
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


def collect(arguments):
    """Address -> file, and everything that the output depends on."""
    files, depends = {}, []
    for argument in arguments:
        prefix, _, path = argument.partition("=")
        if os.path.isfile(path):
            files[prefix] = path
            depends.append(path)
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            depends.append(folder)
            for name in sorted(names):
                full = os.path.join(folder, name)
                if name.startswith(".") or os.path.splitext(name)[1] not in TYPES:
                    continue
                address = prefix.rstrip("/") + "/" + os.path.relpath(full, path).replace(os.sep, "/")
                files[address] = full
                depends.append(full)
    return files, depends


def literal(data):
    """A C string literal a line; octal, since hexadecimal escapes swallow what follows."""
    lines = []
    for at in range(0, len(data), 64):
        lines.append('    "' + "".join("\\%03o" % byte for byte in data[at:at + 64]) + '"')
    return "\n".join(lines) or '    ""'


def main():
    output, depfile, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
    files, depends = collect(arguments)
    rows, parts = [], ['#include "server/assets.h"\n']
    for number, (address, path) in enumerate(sorted(files.items())):
        with open(path, "rb") as file:
            plain = file.read()
        packed = gzip.compress(plain, 9, mtime=0)
        small = len(packed) < len(plain)
        tag = hashlib.sha256(plain).hexdigest()[:20]
        kind = TYPES[os.path.splitext(path)[1]]
        parts.append("static const char plain_%d[] =\n%s;\n" % (number, literal(plain)))
        if small:
            parts.append("static const char packed_%d[] =\n%s;\n" % (number, literal(packed)))
        rows.append('    {"%s", "%s", "\\"%s\\"", plain_%d, %d, %s, %d},' % (
            address, kind, tag, number, len(plain), "packed_%d" % number if small else "NULL",
            len(packed) if small else 0))
    parts.append("const mebi__asset mebi__assets[] = {\n%s\n};\n" % "\n".join(rows))
    parts.append("const int mebi__asset_count = %d;\n" % len(rows))
    with open(output, "w") as file:
        file.write("\n".join(parts))
    with open(depfile, "w") as file:
        file.write("%s: %s\n" % (output, " ".join(d.replace(" ", "\\ ") for d in depends)))


main()
