// The text chunks of PNG files: a picture that the browser draws anew keeps the settings of the one that it was drawn from.

const PNG_HEAD = 8; // bytes before the first chunk
const CHUNK_FRAME = 12; // bytes of a chunk beside its data: length, type, checksum

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crcOf(bytes) {
  return (bytes.reduce((crc, byte) => CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8), 0xffffffff) ^ 0xffffffff) >>> 0;
}

/** A file's chunks as [type, bytes of the whole chunk]. */
function pngChunks(bytes) {
  const chunks = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = PNG_HEAD; at + CHUNK_FRAME <= bytes.length; ) {
    const size = CHUNK_FRAME + view.getUint32(at);
    chunks.push([String.fromCharCode(...bytes.subarray(at + 4, at + 8)), bytes.subarray(at, at + size)]);
    at += size;
  }
  return chunks;
}

/** A chunk that says something, in Latin letters, under a keyword. */
function textChunk(keyword, text) {
  const content = Uint8Array.from(`tEXt${keyword}\0${text}`, (letter) => letter.charCodeAt(0));
  const chunk = new Uint8Array(content.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, content.length - 4);
  chunk.set(content, 4);
  view.setUint32(content.length + 4, crcOf(content));
  return chunk;
}

/** A file with the text chunks of another one, and with further ones. */
function withTexts(bytes, from, further = []) {
  const [head, ...rest] = pngChunks(bytes).map(([, chunk]) => chunk);
  const texts = pngChunks(from).filter(([type]) => ["tEXt", "iTXt", "zTXt"].includes(type)).map(([, chunk]) => chunk);
  const parts = [bytes.subarray(0, PNG_HEAD), head, ...texts, ...further, ...rest];
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}
