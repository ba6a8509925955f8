// Packs the package for publishing: the addon of each platform as a package of its own, which the
// main package has as an optional dependency, so that people download the one they need.
//
//   node scripts/pack.js <folder>
//
// Those in `native` are packed: bring them together from the machines that built them.

import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

if (process.argv.length !== 3) throw new Error("usage: node scripts/pack.js <folder>");
const here = fileURLToPath(new URL("..", import.meta.url));
const folder = resolve(process.argv[2]);
const manifest = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const work = mkdtempSync(join(tmpdir(), "meshcast-pack-"));

function pack(name, fields, copy) {
  const place = join(work, name);
  mkdirSync(place);
  copy(place);
  for (const licence of ["LICENSE-APACHE", "LICENSE-MIT"]) {
    cpSync(join(here, "../..", licence), join(place, licence));
  }
  const { version, license, repository, engines } = manifest;
  const own = { name, version, license, repository, engines, ...fields };
  writeFileSync(join(place, "package.json"), JSON.stringify(own, null, 2));
  execFileSync("npm", ["pack", "--pack-destination", folder], { cwd: place, stdio: "ignore" });
  console.log(join(folder, `${name}-${version}.tgz`));
}

mkdirSync(folder, { recursive: true });
const optionalDependencies = {};
for (const file of readdirSync(join(here, "native"))) {
  const [, target, os, cpu, abi] = /^meshcast\.((\w+)-(\w+)(?:-(\w+))?)\.node$/.exec(file) ?? [];
  if (target === undefined) continue;
  const libc = { gnu: "glibc", musl: "musl" }[abi];
  const name = `meshcast-${target}`;
  optionalDependencies[name] = manifest.version;
  const description = `The addon of meshcast for ${target}.`;
  const fields = { description, os: [os], cpu: [cpu], ...(libc && { libc: [libc] }), main: file };
  pack(name, fields, (place) => cpSync(join(here, "native", file), join(place, file)));
}

const { scripts, devDependencies, files, ...main } = manifest;
pack(manifest.name, { ...main, optionalDependencies }, (place) => {
  for (const part of ["lib", "examples", "README.md"]) {
    cpSync(join(here, part), join(place, part), { recursive: true });
  }
});
rmSync(work, { recursive: true });
