// A mirror for Debian's installer on 127.0.0.1: the files of a folder, and for all others a redirection to the mirror
// that apt uses. Prints its port.
// usage: node archive.mjs FOLDER MIRROR
import {createReadStream, statSync} from 'node:fs';
import http from 'node:http';
import {join, normalize} from 'node:path';

const [folder, mirror] = process.argv.slice(2);
const server = http.createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname));
  const file = join(folder, path.replace(/^\/debian\//, '/'));
  let found;
  try {
    found = statSync(file);
  } catch {
  }
  if (!found?.isFile()) {
    response.writeHead(302, {Location: mirror + path.replace(/^\/debian\//, '/')}).end();
    return;
  }
  response.writeHead(200, {'Content-Length': found.size});
  if (request.method === 'HEAD') return response.end();
  createReadStream(file).pipe(response);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
