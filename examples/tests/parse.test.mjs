// The clients for phones have no toolchain here: they must at least parse.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Language, Parser } from 'web-tree-sitter';

await Parser.init();
for (const [file, language] of [['Chat.kt', 'kotlin'], ['Chat.swift', 'swift'], ['chat.dart', 'dart']]) {
  test(file, async () => {
    const parser = new Parser();
    parser.setLanguage(await Language.load(new URL(`./node_modules/tree-sitter-wasms/out/tree-sitter-${language}.wasm`, import.meta.url).pathname));
    const wrong = [];
    const walk = (node) => {
      if (node.isError || node.isMissing) wrong.push(`line ${node.startPosition.row + 1}: ${node.text.slice(0, 60)}`);
      node.children.forEach(walk);
    };
    walk(parser.parse(await readFile(new URL(`../clients/${file}`, import.meta.url), 'utf8')).rootNode);
    assert.deepEqual(wrong, []);
  });
}
