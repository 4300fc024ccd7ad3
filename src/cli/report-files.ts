import type { ReportInput } from '../report/report-data-build.ts';

/** The report as it lies in a folder or beside a result. */
export interface ReportFiles {
  readonly html: string;
  readonly json: string;
  readonly markdown: string;
}

/** The same report as a page, as data and as a summary. Loaded only when somebody wants a report. */
export async function reportFiles(input: ReportInput): Promise<ReportFiles> {
  const [{ reportData }, { jsonReport }, { markdownReport }, { htmlReport }] = await Promise.all([
    import('../report/report-data-build.ts'),
    import('../report/report-data.ts'),
    import('../report/markdown.ts'),
    import('../report/html/html-report.ts'),
  ]);
  const data = reportData(input);
  return { html: await htmlReport(data), json: jsonReport(data), markdown: markdownReport(data) };
}
