/** Lets tests of components wait on a busy machine, where the usual second is short. */

import { configure } from "@testing-library/react";

configure({ asyncUtilTimeout: 10_000 });
