import { createHash } from 'node:crypto';

export function streamUserId(claim, prefix = '') {
  const start = prefix && `${prefix}@--`;
  const bytes = Buffer.from(claim).toString('latin1'); // one character per byte
  const id = start + bytes.replace(/@(?=-)|[^A-Za-z0-9@_-]/g,
    (c) => '@-' + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0'));
  return id.length <= 255 ? id : start + '@-sha256-' + createHash('sha256').update(claim).digest('hex');
}
