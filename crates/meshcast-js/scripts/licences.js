// Puts the licences of the project into the package that is about to be packed.

import { copyFileSync } from "node:fs";

for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) {
  copyFileSync(
    new URL(`../../../${name}`, import.meta.url),
    new URL(`../${name}`, import.meta.url),
  );
}
