// Entry of the dashboard page.

import './base.css';
import './styles.css';
import { Dashboard } from './dashboard';
import { mountAnnouncer } from './ui/announce';
import { applyTheme } from './ui/theme';
import { mountTooltips } from './ui/tooltip';

applyTheme();
const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no #root');
mountAnnouncer();
mountTooltips();
void new Dashboard(root).refresh();
