// Spring: take byte[], so that no converter parses the JSON
@PostMapping("/stream")
ResponseEntity<Void> stream(@RequestBody byte[] raw, @RequestHeader("X-Signature") String signature) {
  boolean zipped = raw.length > 1 && raw[0] == 0x1f && raw[1] == (byte) 0x8b;
  String body = zipped ? Base64.getEncoder().encodeToString(raw) : new String(raw, StandardCharsets.UTF_8);
  return ResponseEntity.status(verified(body, signature) ? 200 : 401).build(); // POST /webhook/verify
}
