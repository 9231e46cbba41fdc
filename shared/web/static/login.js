// SPDX-License-Identifier: Apache-2.0

import { translate } from './texts.js';

translate(document);
