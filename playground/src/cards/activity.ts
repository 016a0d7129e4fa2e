// Asks for active users in the view's unit; shared by the two cards that draw them.

import { ActiveUsers, MonthlyActiveUsers } from '../api/generated';
import type { Range } from '../days';
import { activeUsersVariables, monthlyVariables, weeklyVariables } from '../questions';
import { dailyPeriods, monthlyPeriods, weeklyPeriods, type ActivePeriod } from '../shape/activeUsers';
import type { Situation } from '../situation';
import type { AskedQuery } from '../ui/card';
import type { Line } from '../view';

export interface Activity {
  readonly periods: readonly ActivePeriod[];
  readonly query: AskedQuery;
}

export const UNIT_TITLES = { day: 'Daily active users', week: 'Weekly active users', month: 'Monthly active users' } as const;

/** Users per day, calendar week or calendar month of the view. */
export async function askActivity(situation: Situation, range: Range, label: string): Promise<Activity> {
  const { unit } = situation.view;
  if (unit === 'month') {
    const variables = monthlyVariables(range, situation.view);
    const answer = await situation.ask(MonthlyActiveUsers, variables);
    return { periods: monthlyPeriods(answer), query: { label, text: MonthlyActiveUsers.text, variables } };
  }
  const variables = unit === 'week' ? weeklyVariables(range, situation.view) : activeUsersVariables(range, 'dau', situation.view);
  const answer = await situation.ask(ActiveUsers, variables);
  const periods = unit === 'week' ? weeklyPeriods(answer) : dailyPeriods(answer);
  return { periods, query: { label, text: ActiveUsers.text, variables } };
}

/** A trailing window per day. */
export async function askLine(situation: Situation, range: Range, line: Line, label: string): Promise<Activity> {
  const variables = activeUsersVariables(range, line, situation.view);
  const answer = await situation.ask(ActiveUsers, variables);
  return { periods: dailyPeriods(answer), query: { label, text: ActiveUsers.text, variables } };
}
