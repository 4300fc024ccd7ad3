import { readFile } from 'node:fs/promises';
import { templateFile } from '../template.ts';
import { type Deployment, Template } from './resolve.ts';
import { type RoleGrants, roleGrants } from './role-grants.ts';

/** The template as it lies in the repository. */
export const text = await readFile(templateFile, 'utf8');
export const template = Template.parse(JSON.parse(text));

/** Values of the parameters that have no default. */
export const required = {
  ecsClusterName: 'cluster',
  ecsVpcId: 'vpc-1',
  ecsSubnetA: 'subnet-a',
  ecsSubnetB: 'subnet-b',
  workerImage: '111111111111.dkr.ecr.eu-west-1.amazonaws.com/tools/image-replication:1.0',
};

/** The template as it is deployed in a partition, with these parameters. */
export function deployment(parameters: Readonly<Record<string, string>> = {}, partition = 'aws'): Deployment {
  const region = partition === 'aws-cn' ? 'cn-north-1' : 'eu-west-1';
  return { partition, region, account: '123456789012', parameters: { ...required, ...parameters } };
}

/** What each role may do then. */
export const grantsWith = (parameters: Readonly<Record<string, string>> = {}, partition?: string): RoleGrants =>
  roleGrants(template, deployment(parameters, partition));
