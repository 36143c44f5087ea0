// Weights as the package ships them: safetensors in half precision, read here byte by byte and checked against the model card.

// A file of weights, fetched: { about, alpha_bar, net: { name: { data, shape } } }. sha256: what its card says; checked where the
// browser can (only on pages that came over a safe line). told(bytes) hears how much has come.
export async function fetchWeights(address, sha256) {
  const answer = await fetch(address);
  const file = address.pathname.split("/").pop();
  if (!answer.ok) throw new Error(`${file} could not be fetched (${answer.status}): load the page again.`);
  const buffer = await answer.arrayBuffer();
  const checked = Boolean(globalThis.crypto?.subtle);
  if (checked) {
    const found = hex(await crypto.subtle.digest("SHA-256", buffer));
    if (found !== sha256) {
      const [has, wants] = [found, sha256].map((sum) => `${sum.slice(0, 12)}…`);
      throw new Error(`${file} has the SHA-256 ${has}, its card says ${wants}: load the page again.`);
    }
  }
  return { ...parse(buffer), checked };
}

const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// Eight bytes that say how long the header is, the header in JSON, then the numbers of all tensors.
export function parse(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const about = JSON.parse(header.__metadata__.about.replace(/^\S+ /, ""));
  const net = {};
  let alpha_bar = null;
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const bytes = buffer.slice(...data_offsets.map((offset) => 8 + length + offset));
    if (name === "alpha_bar") alpha_bar = new Float64Array(bytes);
    else net[name.replace(/^net\./, "")] = { shape, data: dtype === "F16" ? floats(new Uint16Array(bytes)) : new Float32Array(bytes) };
  }
  return { about, alpha_bar, net };
}

// Half precision (IEEE 754: a sign, 5 bits of exponent, 10 of fraction) as single precision.
function floats(halves) {
  const out = new Float32Array(halves.length);
  for (let i = 0; i < out.length; i++) {
    const exponent = (halves[i] >> 10) & 31; // 31, infinity or NaN, is in no file that was written
    const fraction = halves[i] & 1023;
    const size = exponent ? (1024 + fraction) * POWERS[exponent] : fraction * POWERS[1];
    out[i] = halves[i] >> 15 ? -size : size;
  }
  return out;
}

const POWERS = Array.from({ length: 31 }, (_, exponent) => 2 ** (exponent - 25));
